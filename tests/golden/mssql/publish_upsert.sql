SELECT COUNT_BIG(*), COUNT_BIG(CASE WHEN [id] IS NULL OR [line no] IS NULL THEN 1 END) FROM (SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] UNION ALL SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_1_11]) AS a;
SELECT COUNT_BIG(*) FROM (SELECT 1 AS n FROM (SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] UNION ALL SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_1_11]) AS a GROUP BY [id], [line no]) AS k;
UPDATE t SET [select] = s.[select], [changed] = s.[changed]
FROM [sales].[order details] AS t WITH (UPDLOCK, HOLDLOCK)
INNER JOIN [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s ON t.[Id] = s.[id] AND t.[Line No] = s.[line no];
SELECT ROWCOUNT_BIG() AS [rows];
INSERT INTO [sales].[order details] ([id], [line no], [select], [changed])
SELECT s.[id], s.[line no], s.[select], s.[changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s
WHERE NOT EXISTS (SELECT 1 FROM [sales].[order details] AS t WITH (UPDLOCK, HOLDLOCK) WHERE t.[Id] = s.[id] AND t.[Line No] = s.[line no]);
SELECT ROWCOUNT_BIG() AS [rows];
