drop index {load}.ancestors_by_term
