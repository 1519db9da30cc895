SELECT COUNT_BIG(*), COUNT_BIG(CASE WHEN s.[id] IS NULL OR CAST(s.[line no] AS varchar(9)) IS NULL THEN 1 END) FROM (SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] UNION ALL SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_1_11]) AS s;
SELECT COUNT_BIG(*) FROM (SELECT 1 AS n FROM (SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] UNION ALL SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_1_11]) AS s GROUP BY s.[id], CAST(s.[line no] AS varchar(9))) AS k;
UPDATE t SET [select] = s.[select], [changed] = s.[changed]
FROM [sales].[order details] AS t WITH (UPDLOCK, HOLDLOCK)
INNER JOIN [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s ON t.[Id] = s.[id] AND t.[Line No] = CAST(s.[line no] AS varchar(9));
SELECT ROWCOUNT_BIG() AS [rows];
INSERT INTO [sales].[order details] ([id], [line no], [select], [changed])
SELECT s.[id], s.[line no], s.[select], s.[changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s
WHERE NOT EXISTS (SELECT 1 FROM [sales].[order details] AS t WITH (UPDLOCK, HOLDLOCK) WHERE t.[Id] = s.[id] AND t.[Line No] = CAST(s.[line no] AS varchar(9)));
SELECT ROWCOUNT_BIG() AS [rows];
