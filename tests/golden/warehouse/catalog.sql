
SELECT s.name, o.name FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.type IN ('U', 'V') AND o.is_ms_shipped = 0 AND s.name NOT IN ('sys', 'queryinsights');

SELECT o.object_id, s.name, o.name, CASE o.type WHEN 'V' THEN 'view' ELSE 'table' END
FROM sys.objects AS o JOIN sys.schemas AS s ON s.schema_id = o.schema_id
WHERE o.object_id = OBJECT_ID(?) AND o.type IN ('U', 'V');

SELECT c.name, t.name, c.max_length, c.precision, c.scale, c.collation_name, c.is_nullable,
    c.is_identity, c.is_computed
FROM sys.columns AS c JOIN sys.types AS t ON t.user_type_id = c.user_type_id
WHERE c.object_id = ? ORDER BY c.column_id;

SELECT i.name, c.name
FROM sys.indexes AS i
JOIN sys.index_columns AS k ON k.object_id = i.object_id AND k.index_id = i.index_id
JOIN sys.columns AS c ON c.object_id = k.object_id AND c.column_id = k.column_id
WHERE i.object_id = ? AND i.is_primary_key = 1 AND k.key_ordinal > 0 ORDER BY k.key_ordinal;
SELECT RTRIM(type) FROM sys.objects WHERE object_id = OBJECT_ID(?);
SELECT t.name FROM sys.tables AS t JOIN sys.schemas AS s ON s.schema_id = t.schema_id WHERE s.name = ? AND t.name LIKE ? ESCAPE '!' ORDER BY t.name;
