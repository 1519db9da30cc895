DECLARE @taken int; EXEC @taken = sp_getapplock @Resource = ?, @LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 120000; SELECT @taken;
SELECT APPLOCK_MODE(N'public', ?, N'Transaction');
