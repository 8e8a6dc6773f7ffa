create temporary table efo_incoming on commit drop as
{rows};
analyze pg_temp.efo_incoming
