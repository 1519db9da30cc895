CREATE TABLE [sales].[_copyjob_stage_0123456789abcdef_7_0_00] (
  [id] bigint NOT NULL,
  [line no] int NOT NULL,
  [select] nvarchar(50) NULL
);
CREATE TABLE [sales].[order details] (
  [id] bigint NOT NULL,
  [line no] int NOT NULL,
  [select] nvarchar(50) NULL,
  PRIMARY KEY ([id], [line no])
);
ALTER TABLE [sales].[order details] ADD [changed] datetime2(6) NULL;
CREATE UNIQUE INDEX [_copyjob_key_85a902d8dda6c564] ON [sales].[order details] ([id], [line no]);
SELECT name FROM sys.tables WITH (NOLOCK) WHERE schema_id = SCHEMA_ID(?) AND name LIKE ? ESCAPE N'!' ORDER BY name;
-- ? = 'sales'
-- ? = '!_copyjob!_stage!_50c9def1d0a0c9eb!_%'
