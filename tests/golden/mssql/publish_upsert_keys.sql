SELECT COUNT_BIG(*) FROM [sales].[order details] AS t WITH (UPDLOCK, HOLDLOCK)
INNER JOIN [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s ON t.[Id] = s.[id] AND t.[Line No] = CAST(s.[line no] AS varchar(9));
SET IDENTITY_INSERT [sales].[order details] ON;
INSERT INTO [sales].[order details] ([id], [line no])
SELECT s.[id], s.[line no] FROM [sales].[_copyjob_stage_0123456789abcdef_7_0_00] AS s
WHERE NOT EXISTS (SELECT 1 FROM [sales].[order details] AS t WITH (UPDLOCK, HOLDLOCK) WHERE t.[Id] = s.[id] AND t.[Line No] = CAST(s.[line no] AS varchar(9)));
SELECT ROWCOUNT_BIG() AS [rows];
SET IDENTITY_INSERT [sales].[order details] OFF;
