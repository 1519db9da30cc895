COPY INTO [sales].[_copyjob_stage_0123456789abcdef_7_load_00] ([c0], [c1])
FROM
  'https://account.dfs.core.windows.net/c/a/b/copyjob-staging/abc/7/0-1f/000.parquet',
  'https://account.dfs.core.windows.net/c/a/b/copyjob-staging/abc/7/1-2e/000.parquet'
WITH (
  FILE_TYPE = 'PARQUET',
  CREDENTIAL = (IDENTITY = 'Shared Access Signature', SECRET = 'sv=2026&sig=a''b')
);
