SELECT CONVERT(varchar(41), [order id]) FROM [sales].[order details];
SELECT CONVERT(varchar(33), [changed], 126) FROM [sales].[order details];
SELECT CONVERT(varchar(33), [ticks], 126) FROM [sales].[order details];
SELECT CONVERT(varchar(33), CAST(SWITCHOFFSET([moment], '+00:00') AS datetime2(7)), 126) + 'Z' FROM [sales].[order details];
SELECT CONVERT(varchar(33), [clock], 121) FROM [sales].[order details];
SELECT CAST([version] AS varbinary(8000)) FROM [sales].[order details];
SELECT CONVERT(nvarchar(4000), [code]) FROM [sales].[order details];
SELECT CONVERT(nvarchar(4000), [name]) FROM [sales].[order details];
SELECT CONVERT(varchar(41), [price]) FROM [sales].[order details];
