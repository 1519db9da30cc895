SELECT CONVERT(varchar(41), k), COUNT_BIG(*) FROM (SELECT [order id] AS k, ROW_NUMBER() OVER (ORDER BY [order id]) AS n FROM [sales].[order details] TABLESAMPLE SYSTEM (0.500000 PERCENT) WHERE [changed] > CAST(? AS datetime2(7)) AND [changed] <= CAST(? AS datetime2(7))) AS r WHERE n % 312 = 0 GROUP BY k ORDER BY k;
-- ? = '2026-01-01T00:00:00'
-- ? = '2026-01-31T00:00:00'
WITH x AS (SELECT * FROM [sales].[order details]),
[_copyjob_query] AS (
SELECT * FROM x -- all
)
SELECT CONVERT(varchar(33), k, 126), COUNT_BIG(*) FROM (SELECT [changed] AS k, ROW_NUMBER() OVER (ORDER BY [changed]) AS n FROM [_copyjob_query] WHERE [changed] > CAST(? AS datetime2(7)) AND [changed] <= CAST(? AS datetime2(7))) AS r WHERE n % 7 = 0 GROUP BY k ORDER BY k;
-- ? = '2026-01-01T00:00:00'
-- ? = '2026-01-31T00:00:00'
SELECT CONVERT(varchar(33), CAST(v.value AS datetime2(7)), 126), p.rows, CAST(f.boundary_value_on_right AS int) FROM sys.partitions AS p JOIN sys.indexes AS i ON i.object_id = p.object_id AND i.index_id = p.index_id JOIN sys.partition_schemes AS s ON s.data_space_id = i.data_space_id JOIN sys.partition_functions AS f ON f.function_id = s.function_id LEFT JOIN sys.partition_range_values AS v ON v.function_id = f.function_id AND v.boundary_id = p.partition_number WHERE p.object_id = ? AND p.index_id IN (0, 1) ORDER BY p.partition_number;
