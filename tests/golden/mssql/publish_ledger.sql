CREATE TABLE [sales].[_copyjob_ledger] (
  [key] binary(32) NOT NULL,
  [sequence] bigint NOT NULL,
  [job] nvarchar(200) NOT NULL,
  [source] nvarchar(400) NOT NULL,
  [destination] nvarchar(300) NOT NULL,
  [watermark] nvarchar(400) NULL,
  [rows] bigint NOT NULL,
  [superseded] bigint NOT NULL,
  [bytes] bigint NOT NULL,
  [plan_id] nvarchar(200) NOT NULL,
  [incremental_column] nvarchar(200) NOT NULL,
  [published_at] datetime2(3) NOT NULL DEFAULT SYSUTCDATETIME(),
  PRIMARY KEY ([key], [sequence])
);
SELECT TOP (1) [sequence], [watermark], [rows], [superseded], [bytes], [plan_id], [incremental_column] FROM [sales].[_copyjob_ledger] WHERE [key] = ? ORDER BY [sequence] DESC;
SELECT TOP (1) [sequence], [watermark], [rows], [superseded], [bytes], [plan_id], [incremental_column] FROM [sales].[_copyjob_ledger] WHERE [key] = ? AND [sequence] >= ? ORDER BY [sequence];
DELETE FROM [sales].[_copyjob_ledger] WHERE [key] = ?;
INSERT INTO [sales].[_copyjob_ledger] ([key], [job], [source], [destination], [sequence], [watermark], [rows], [superseded], [bytes], [plan_id], [incremental_column]) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
