select case
    when %(arguments)s::text is null
        then obj_description(
            to_regclass(format('%%I.%%I', %(schema)s::text, %(name)s::text)), 'pg_class'
        )
    else obj_description(
        to_regprocedure(
            format('%%I.%%I(%%s)', %(schema)s::text, %(name)s::text, %(arguments)s::text)
        ),
        'pg_proc'
    )
end
