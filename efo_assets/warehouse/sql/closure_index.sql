create index ancestors_by_term on {load}.ancestors (term_number);
analyze {load}.ancestors
