SELECT * FROM [sales].[order details] WHERE [name] IN (?, ?) AND [price] > CAST(? AS decimal(18,4)) AND CAST([note] AS nvarchar(max)) <> ? AND [clock] <= CAST(? AS time(7)) AND [version] IS NOT NULL;
-- ? = "it's"
-- ? = 'Zoë'
-- ? = '0.5'
-- ? = '<a/>'
-- ? = '12:00:00'
WITH x AS (SELECT * FROM [sales].[order details]),
[_copyjob_query] AS (
SELECT * FROM x -- all
)
SELECT * FROM [_copyjob_query] WHERE [name] IN (?, ?) AND [price] > CAST(? AS decimal(18,4)) AND CAST([note] AS nvarchar(max)) <> ? AND [clock] <= CAST(? AS time(7)) AND [version] IS NOT NULL;
-- ? = "it's"
-- ? = 'Zoë'
-- ? = '0.5'
-- ? = '<a/>'
-- ? = '12:00:00'
