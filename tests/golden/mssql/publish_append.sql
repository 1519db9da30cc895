INSERT INTO [sales].[order details] ([id], [line no], [select], [changed])
SELECT s.[id], s.[line no], s.[select], s.[changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s;
SELECT ROWCOUNT_BIG() AS [rows];
INSERT INTO [sales].[order details] WITH (TABLOCK) ([id], [line no], [select], [changed])
SELECT s.[id], s.[line no], s.[select], s.[changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s;
SELECT ROWCOUNT_BIG() AS [rows];
SET IDENTITY_INSERT [sales].[order details] ON;
INSERT INTO [sales].[order details] ([id], [line no], [select], [changed])
SELECT s.[id], s.[line no], s.[select], s.[changed] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s;
SELECT ROWCOUNT_BIG() AS [rows];
SET IDENTITY_INSERT [sales].[order details] OFF;
