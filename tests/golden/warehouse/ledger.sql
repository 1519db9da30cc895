CREATE TABLE [sales].[_copyjob_ledger_6d8ff8e6c7236ef4] (
  [key] varbinary(32) NOT NULL,
  [sequence] bigint NOT NULL,
  [job] varchar(800) NOT NULL,
  [source] varchar(1600) NOT NULL,
  [destination] varchar(1200) NOT NULL,
  [watermark] varchar(1600) NULL,
  [rows] bigint NOT NULL,
  [superseded] bigint NOT NULL,
  [bytes] bigint NOT NULL,
  [plan_id] varchar(800) NOT NULL,
  [incremental_column] varchar(800) NOT NULL
);
UPDATE [sales].[_copyjob_ledger_6d8ff8e6c7236ef4] SET [sequence] = [sequence] + 1, [plan_id] = ? WHERE [key] = ?;
SELECT [plan_id] FROM [sales].[_copyjob_ledger_6d8ff8e6c7236ef4] WHERE [key] = ?;
SELECT TOP (1) [sequence], [watermark], [rows], [superseded], [bytes], [plan_id], [incremental_column] FROM [sales].[_copyjob_ledger_6d8ff8e6c7236ef4] WHERE [key] = ? ORDER BY [sequence] DESC;
SELECT TOP (1) [sequence], [watermark], [rows], [superseded], [bytes], [plan_id], [incremental_column] FROM [sales].[_copyjob_ledger_6d8ff8e6c7236ef4] WHERE [key] = ? AND [sequence] >= ? ORDER BY [sequence];
DELETE FROM [sales].[_copyjob_ledger_6d8ff8e6c7236ef4] WHERE [key] = ?;
INSERT INTO [sales].[_copyjob_ledger_6d8ff8e6c7236ef4] ([key], [job], [source], [destination], [sequence], [watermark], [rows], [superseded], [bytes], [plan_id], [incremental_column]) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
