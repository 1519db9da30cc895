COPY INTO [sales].[_copyjob_stage_0123456789abcdef_7_load_00] ([c0], [c1])
FROM
  'https://onelake.dfs.fabric.microsoft.com/00000000-0000-0000-0000-000000000001/00000000-0000-0000-0000-000000000002/Files/a/b/copyjob-staging/abc/7/0-1f/000.parquet',
  'https://onelake.dfs.fabric.microsoft.com/00000000-0000-0000-0000-000000000001/00000000-0000-0000-0000-000000000002/Files/a/b/copyjob-staging/abc/7/1-2e/000.parquet'
WITH (
  FILE_TYPE = 'PARQUET'
);
