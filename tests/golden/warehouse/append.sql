INSERT INTO [sales].[order details] ([id], [line no], [select], [note], [small], [price], [paid], [day], [at], [changed], [raw])
SELECT s.[c0], s.[c1], s.[c2], s.[c3], s.[c4], s.[c5], s.[c6], s.[c7], s.[c8], s.[c9], s.[c10] FROM [sales].[_copyjob_stage_0123456789abcdef_7_load_00] AS s;
