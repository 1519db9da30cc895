SELECT [id], [line no], [select], [changed] INTO [sales].[_copyjob_stage_0123456789abcdef_7_newest_22]
FROM (SELECT [id], [line no], [select], [changed], RANK() OVER (PARTITION BY s.[id], CAST(s.[line no] AS varchar(9)) ORDER BY [changed] DESC) AS [_copyjob_place] FROM (SELECT [id], [line no], [select], [changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] UNION ALL SELECT [id], [line no], [select], [changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_1_11]) AS s) AS r
WHERE [_copyjob_place] = 1;
SELECT COUNT_BIG(*) FROM [sales].[_copyjob_stage_0123456789abcdef_7_newest_22];
SELECT COUNT_BIG(*) FROM (SELECT 1 AS n FROM (SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] UNION ALL SELECT [id], [line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_1_11]) AS s GROUP BY s.[id], CAST(s.[line no] AS varchar(9)) HAVING COUNT_BIG(*) > 1) AS k;
SELECT [id], [line no], [select], [changed] INTO [sales].[_copyjob_stage_0123456789abcdef_7_newest_22]
FROM (SELECT [id], [line no], [select], [changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] UNION ALL SELECT [id], [line no], [select], [changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_1_11]) AS s;
SELECT ROWCOUNT_BIG() AS [rows];
