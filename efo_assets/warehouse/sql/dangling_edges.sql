create table {load}.dangling_edges (like {load}.parent_edges)
