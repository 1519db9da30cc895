DELETE FROM [sales].[order details] WITH (TABLOCKX);
