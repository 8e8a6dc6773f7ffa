create table efo_meta.ols_services (
    service text primary key,
    overloads bigint not null default 0,
    paused_until timestamptz
);
comment on table efo_meta.ols_services is 'What an OLS told any run: how often it had too much to do, and until when it wants no request.';

create table efo_meta.ols_slots (
    service text not null,
    slot integer not null,
    drain_s double precision not null,
    primary key (service, slot)
);
comment on table efo_meta.ols_slots is 'Requests that a run may have under way, one row each, which it holds by an advisory lock. A row without its lock is of a run that was killed; OLS may be at work on its request for so many seconds.'
