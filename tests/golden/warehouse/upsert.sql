SELECT COUNT_BIG(*), COUNT_BIG(CASE WHEN s.[c0] IS NULL OR CAST(s.[c1] AS varchar(40)) COLLATE Latin1_General_100_BIN2_UTF8 IS NULL THEN 1 END) FROM (SELECT [c0], [c1] FROM [sales].[_copyjob_stage_0123456789abcdef_7_load_00]) AS s;
SELECT COUNT_BIG(*) FROM (SELECT 1 AS n FROM (SELECT [c0], [c1] FROM [sales].[_copyjob_stage_0123456789abcdef_7_load_00]) AS s GROUP BY s.[c0], CAST(s.[c1] AS varchar(40)) COLLATE Latin1_General_100_BIN2_UTF8) AS k;
SELECT [c0], [c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10] INTO [sales].[_copyjob_stage_0123456789abcdef_7_newest_11]
FROM (SELECT [c0], [c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10], RANK() OVER (PARTITION BY s.[c0], CAST(s.[c1] AS varchar(40)) COLLATE Latin1_General_100_BIN2_UTF8 ORDER BY [c9] DESC) AS [_copyjob_place] FROM (SELECT [c0], [c1], [c2], [c3], [c4], [c5], [c6], [c7], [c8], [c9], [c10] FROM [sales].[_copyjob_stage_0123456789abcdef_7_load_00]) AS s) AS r
WHERE [_copyjob_place] = 1;
SELECT COUNT_BIG(*) FROM [sales].[_copyjob_stage_0123456789abcdef_7_newest_11];
SELECT COUNT_BIG(*) FROM (SELECT 1 AS n FROM (SELECT [c0], [c1] FROM [sales].[_copyjob_stage_0123456789abcdef_7_load_00]) AS s GROUP BY s.[c0], CAST(s.[c1] AS varchar(40)) COLLATE Latin1_General_100_BIN2_UTF8 HAVING COUNT_BIG(*) > 1) AS k;
UPDATE t SET [select] = s.[c2], [note] = s.[c3], [small] = s.[c4], [price] = s.[c5], [paid] = s.[c6], [day] = s.[c7], [at] = s.[c8], [changed] = s.[c9], [raw] = s.[c10]
FROM [sales].[order details] AS t
INNER JOIN [sales].[_copyjob_stage_0123456789abcdef_7_load_00] AS s ON t.[id] = s.[c0] AND t.[line no] = CAST(s.[c1] AS varchar(40)) COLLATE Latin1_General_100_BIN2_UTF8;
SELECT COUNT_BIG(*) FROM [sales].[order details] AS t
INNER JOIN [sales].[_copyjob_stage_0123456789abcdef_7_load_00] AS s ON t.[id] = s.[c0] AND t.[line no] = CAST(s.[c1] AS varchar(40)) COLLATE Latin1_General_100_BIN2_UTF8;
INSERT INTO [sales].[order details] ([id], [line no], [select], [note], [small], [price], [paid], [day], [at], [changed], [raw])
SELECT s.[c0], s.[c1], s.[c2], s.[c3], s.[c4], s.[c5], s.[c6], s.[c7], s.[c8], s.[c9], s.[c10] FROM [sales].[_copyjob_stage_0123456789abcdef_7_load_00] AS s
WHERE NOT EXISTS (SELECT 1 FROM [sales].[order details] AS t WHERE t.[id] = s.[c0] AND t.[line no] = CAST(s.[c1] AS varchar(40)) COLLATE Latin1_General_100_BIN2_UTF8);
