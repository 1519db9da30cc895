CREATE TABLE [sales].[order details] (
  [id] bigint NOT NULL,
  [line no] varchar(40) COLLATE Latin1_General_100_BIN2_UTF8 NOT NULL,
  [select] varchar(200) NULL,
  [note] varchar(max) NULL,
  [small] smallint NULL,
  [price] decimal(19,4) NULL,
  [paid] bit NULL,
  [day] date NULL,
  [at] time(6) NULL,
  [changed] datetime2(6) NULL,
  [raw] varbinary(16) NULL
);
CREATE TABLE [sales].[_copyjob_stage_0123456789abcdef_7_load_00] (
  [c0] bigint NULL,
  [c1] varchar(40) COLLATE Latin1_General_100_BIN2_UTF8 NULL,
  [c2] varchar(200) NULL,
  [c3] varchar(max) NULL,
  [c4] smallint NULL,
  [c5] decimal(19,4) NULL,
  [c6] bit NULL,
  [c7] date NULL,
  [c8] time(6) NULL,
  [c9] datetime2(6) NULL,
  [c10] varbinary(16) NULL
);
ALTER TABLE [sales].[order details] ADD [seen] datetime2(6) NULL;
