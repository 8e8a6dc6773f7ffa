"""Views and functions over the published tables, on small made-up releases."""

import itertools
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from efo_assets.settings import DatabaseTarget
from efo_assets.warehouse import embedded
from efo_assets.warehouse.tables import folding
from efo_assets.warehouse.views import views_of
from efo_assets.warehouse.warehouse import Warehouse
from efo_assets_tests.databases import connected
from efo_assets_tests.warehouse.loads import ask, edge, iri, publish, synonym, term, xref

MAJORS = (18, 16)
ALLOW_SHRINK = True
SERVERS = ("server", "server_16", "machines_server")
LOCALES = (
    "locale 'C'",
    "locale 'C.UTF-8'",
    "locale 'tr_TR.UTF-8'",
    "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'",
    "locale_provider builtin builtin_locale 'PG_UNICODE_FAST' locale 'C'",
    "locale_provider icu icu_locale 'en' locale 'C'",
    "locale_provider icu icu_locale 'tr' locale 'C'",
)
OLD = "btrim(lower(regexp_replace({}, '[\\s!-/]+', ' ', 'g')))"
OLD_INDEXES = f"""
create index efo_terms_normalised_label_idx on public.efo_terms (({OLD.format("label")}));
create index efo_synonyms_normalised_synonym_idx on public.efo_synonyms (({OLD.format("synonym")}));
create index efo_terms_label_words_idx on public.efo_terms
    using gin (to_tsvector('pg_catalog.english', label));
create index efo_synonyms_synonym_words_idx on public.efo_synonyms
    using gin (to_tsvector('pg_catalog.english', synonym));
"""
LACKING = (
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.SyntaxError,
    psycopg.errors.WrongObjectType,
)
"""What PostgreSQL says where it has no such locale."""
CHECKSUM = 3642336270


@pytest.fixture(scope="module")
def machines_server() -> Iterator[DatabaseTarget]:
    """A PostgreSQL of this machine's own: the embedded one comes without ICU."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no PostgreSQL on this machine: apt install postgresql")
    installation = found[-1].parents[1]
    major, embedded_installation = int(installation.name), embedded._installation
    folder = Path(tempfile.mkdtemp(prefix="efo-v-"))
    folder.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            embedded,
            "_installation",
            lambda asked: installation if asked == major else embedded_installation(asked),
        )
        try:
            with embedded.embedded_server(folder, major=major, is_durable=False) as target:
                yield target
        finally:
            embedded.remove(folder, major=major)
            shutil.rmtree(folder)


@pytest.fixture
def localised(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    """On a database of a server and a locale, the parameter's."""
    server, locale = request.param
    target = request.getfixturevalue(server)
    with connected(target, autocommit=True) as admin:
        try:
            admin.execute(f"create database localised template template0 encoding 'UTF8' {locale}")
        except LACKING as error:
            pytest.skip(f"no database with {locale}: {error.diag.message_primary}")
        try:
            database = DatabaseTarget({**target.parameters, "dbname": "localised"})
            with Warehouse(database, allow_shrink=True) as made:
                yield made
        finally:
            admin.execute("drop database localised with (force)")


def lookup(warehouse: Warehouse, text: str) -> list[Any]:
    return ask(
        warehouse,
        "select right(curie, 1), kind, inherited_from is not null, is_ambiguous"
        f" from efo_lookup($${text}$$)",
    )


def test_a_text_is_found_whatever_its_case_and_punctuation(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[term("a", "Crohn's disease"), term("b", "b"), term("c", "c")],
        synonyms=[
            synonym("b", "Crohn\u2019s  Disease", "exact"),
            synonym("c", "crohn s disease", "broad"),
        ],
    )
    found = [
        ("a", "label", False, False),
        ("b", "exact", False, False),
        ("c", "broad", False, False),
    ]
    for text in (
        "Crohn's disease",
        "CROHN\u2019S DISEASE",
        "crohn-s disease",
        " Crohn's, disease. ",
    ):
        assert lookup(warehouse, text) == found
    assert lookup(warehouse, "crohns disease") == []


@pytest.mark.fault("P32")
@pytest.mark.parametrize(
    "localised", [*itertools.product(SERVERS, LOCALES)], indirect=True, ids="-".join
)
def test_case_and_white_space_are_the_same_in_every_locale(localised: Warehouse) -> None:
    labels = {
        "a": "Sj\u00f6gren syndrome",
        "b": "AR-C124910XX\u00a0measurement",
        "c": "in situ disease",
        "d": "\u03b2-\u03c9-\u0436-\u0561-\u00b5-\u01c6-stra\u00dfe",
    }
    publish(localised, terms=[term(name, label) for name, label in labels.items()])
    blanks = [0x85, 0xA0, 0x1680, *range(0x2000, 0x200C), 0x2028, 0x202F, 0x205F, 0x3000, 0xFEFF]
    sought = {
        "SJ\u00d6GREN SYNDROME": "a",
        "SJO\u0308GREN\u2009syndrome": "a",
        "AR-C124910XX measurement": "b",
        **{f"{chr(b)} ar-c124910xx{chr(b)}MEASUREMENT{chr(b)}": "b" for b in blanks},
        "IN SITU DISEASE": "c",
        "\u0392-\u03a9-\u0416-\u0531-\u00b5-\u01c4-STRA\u1e9eE": "d",
        "\u0392-\u2126-\u0416-\u0531-\u039c-\u01c5-\u017ftra\u00dfe": "d",
    }
    assert {text: lookup(localised, text) for text in sought} == {
        text: [(name, "label", False, False)] for text, name in sought.items()
    }
    for text, name in {"SJ\u00d6GREN": "a", "DISEASE": "c", "Measurement": "b"}.items():
        found = ask(localised, f"select right(curie, 1) from efo_search('{text}')")
        assert found == [(name,)], text
    with localised.connect() as connection, connection.transaction():
        connection.execute("set local enable_seqscan = off")
        plan = connection.execute("explain select * from public.efo_lookup('x')").fetchall()
    assert "efo_terms_label_key_idx" in str(plan)
    assert "efo_synonyms_synonym_key_idx" in str(plan)


@pytest.mark.fault("P32")
def test_a_text_without_letters_finds_nothing(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[term("a", "+"), term("b", "\u00a0"), term("c", "obsolete", is_obsolete=True)],
        synonyms=[synonym("a", " ")],
    )
    for text in ("", " ", "\u00a0\u2003\ufeff", "\t\n", " - "):
        assert lookup(warehouse, text) == []
        assert ask(warehouse, f"select count(*) from efo_search($${text}$$)") == [(0,)]


def test_the_mapping_of_letters_is_the_same_under_every_python() -> None:
    cased, uncased = folding()
    assert len(cased) == len(uncased) == len(set(cased)) == 1449
    assert not set(cased) & set(uncased), "folding twice changes nothing"
    assert zlib.crc32((cased + uncased).encode()) == CHECKSUM, "of another Unicode"


def test_two_terms_of_the_same_standing_are_ambiguous(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[term("a", "x"), term("b", "b"), term("c", "c")],
        synonyms=[synonym("b", "x"), synonym("c", "x")],
    )
    assert lookup(warehouse, "X") == [
        ("a", "label", False, False),
        ("b", "exact", False, True),
        ("c", "exact", False, True),
    ]


def test_names_of_what_a_term_replaces_lead_to_it(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[
            term("a", "new name"),
            term("b", "old name", is_obsolete=True, replaced_by=["EX:c"]),
            term("c", "older name", is_obsolete=True, replaced_by=["EX:a"]),
            term("d", "lost name", is_obsolete=True),
        ],
        synonyms=[synonym("b", "nick name", "related")],
    )
    assert lookup(warehouse, "old name") == [("a", "label", True, False)]
    assert lookup(warehouse, "older name") == [("a", "label", True, False)]
    assert lookup(warehouse, "nick name") == [("a", "related", True, False)]
    assert lookup(warehouse, "lost name") == []
    assert ask(
        warehouse,
        "select text, inherited_from from efo_labels join efo_terms on id = term_id"
        " where curie = 'EX:a' order by text",
    ) == [
        ("new name", None),
        ("nick name", iri("b")),
        ("old name", iri("b")),
        ("older name", iri("c")),
    ]


@pytest.mark.fault("P31")
@pytest.mark.parametrize("mark", ["obsolete_", "obsolete ", "OBSOLETE: ", "obsolete:"])
def test_a_replaced_class_is_found_by_its_name_without_the_mark(
    warehouse: Warehouse, mark: str
) -> None:
    name = "filaggrin gene expression measurement"
    replaced = {"is_obsolete": True, "replaced_by": ["EX:a"]}
    publish(
        warehouse,
        terms=[
            term("a", "filaggrin amount"),
            term("b", mark + name, **replaced),
            term("c", "other", other_labels=[f"{mark}second name"], **replaced),
            term("d", f"{mark}thing"),
        ],
        synonyms=[synonym("c", f"{mark}nick name", "related")],
    )
    assert lookup(warehouse, name) == [("a", "label", True, False)]
    assert lookup(warehouse, mark + name) == [("a", "label", True, False)]
    assert lookup(warehouse, "Second name") == [("a", "other label", True, False)]
    assert lookup(warehouse, "nick name") == [("a", "related", True, False)]
    assert lookup(warehouse, f"{mark}thing") == [("d", "label", False, False)]
    assert lookup(warehouse, "thing") == [], "a current class bears its whole name"
    assert ask(warehouse, f"select kind from efo_labels where text = '{mark}{name}'"), "as it is"


def test_a_label_that_was_not_chosen_is_found(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a", "short", other_labels=["much longer"])])
    assert lookup(warehouse, "Much Longer") == [("a", "other label", False, False)]


def test_terms_below_and_above_by_iri_or_curie(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[term(name) for name in "abcd"],
        edges=[edge("b", "a"), edge("c", "b"), edge("d", "c", "part_of")],
    )
    below = "select right(curie, 1), distance from efo_descendants({}) order by 2"
    assert ask(warehouse, below.format("'EX:a'")) == [("b", 1), ("c", 2)]
    assert ask(warehouse, below.format(f"'{iri('a')}'")) == [("b", 1), ("c", 2)]
    assert ask(warehouse, below.format("'EX:a', true")) == [("b", 1), ("c", 2), ("d", 3)]
    above = "select right(curie, 1), distance from efo_ancestors_of({}) order by 2"
    assert ask(warehouse, above.format("'EX:c'")) == [("b", 1), ("a", 2)]
    assert ask(warehouse, above.format("'EX:d'")) == []
    assert ask(warehouse, above.format("'EX:d', true")) == [("c", 1), ("b", 2), ("a", 3)]
    assert ask(warehouse, below.format("null")) == []


FUNCTIONS = ("efo_descendants", "efo_ancestors_of", "efo_resolve")


@pytest.mark.fault("P37")
@pytest.mark.parametrize("name", ["EFO:0000408", "Ex_Sub:A1"])
def test_an_id_is_found_in_every_form(warehouse: Warehouse, name: str) -> None:
    base = "http://example.org/efo/"
    short = "_".join(name.rsplit(":", 1))
    top = term("x", "top", curie=name, iri=f"{base}{short}")
    publish(warehouse, terms=[top, term("b")], edges=[(iri("b"), f"{base}{short}", "is_a")])
    forms = [name, short, f"{base}{short}"]
    forms += [form for each in forms for form in (each.lower(), each.upper())]
    for form in (spaced for each in forms for spaced in (each, f" {each}\t", f"\u00a0{each}\n")):
        found = ask(warehouse, f"select curie, followed_from from efo_descendants($${form}$$)")
        assert found == [("EX:b", None)], form


@pytest.mark.fault("P37")
@pytest.mark.parametrize("name", ["EX:A1", "ex_a1", iri("EX_A1")])
def test_a_class_without_a_curie_is_found_by_what_its_iri_ends_with(
    warehouse: Warehouse, name: str
) -> None:
    publish(warehouse, terms=[term("EX_A1", curie=None), term("b")])
    assert ask(
        warehouse, f"select iri from efo_terms, efo_resolve('{name}') where id = term_id"
    ) == [(iri("EX_A1"),)]


@pytest.mark.fault("P37")
def test_the_exact_spelling_of_an_id_comes_first(warehouse: Warehouse) -> None:
    names = ("ex:a", "EX:a", "EX_a")
    publish(
        warehouse,
        terms=[
            term("a", curie=names[0]),
            term("A", curie=names[1]),
            term("c", curie=names[2], is_obsolete=True),
        ],
    )
    for name in (*names, iri("a"), iri("A")):
        found = ask(
            warehouse,
            "select curie, iri from efo_terms"
            f" where id = (select term_id from efo_resolve('{name}'))",
        )
        assert name in found[0]


@pytest.mark.fault("P37")
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", ["EX:nobody", "", " ", "http://elsewhere.org/a", "x' or '1'='1"])
def test_an_unknown_id_is_an_error(warehouse: Warehouse, function: str, name: str) -> None:
    publish(warehouse, terms=[term("a")])
    with pytest.raises(psycopg.errors.NoDataFound) as caught:
        ask(warehouse, f"select * from {function}($${name}$$)")
    assert caught.value.diag.message_primary == (
        f'No class has the IRI, CURIE or short form "{name.strip()}";'
        " efo_lookup finds classes by name."
    )


@pytest.mark.fault("P37")
def test_a_vanished_class_is_an_error(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a"), term("b")])
    publish(warehouse, "2", terms=[term("a")])
    for function in FUNCTIONS:
        with pytest.raises(psycopg.errors.NoDataFound, match="vanished from the ontology in rel"):
            ask(warehouse, f"select * from {function}('EX:b')")


@pytest.mark.fault("P37")
def test_a_replaced_class_is_followed_and_the_rows_tell_it(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[
            *(term(name) for name in "abc"),
            term("o", is_obsolete=True, replaced_by=["EX:p"]),
            term("p", is_obsolete=True, replaced_by=["EX:b"]),
            term("q", is_obsolete=True, replaced_by=["EX:a", "EX:b"]),
            term("r", is_obsolete=True, consider=["EX:b"]),
        ],
        edges=[edge("b", "a"), edge("c", "b")],
    )
    asked = "select curie, distance, followed_from from {}('{}')"
    assert ask(warehouse, asked.format("efo_descendants", "ex_o")) == [("EX:c", 1, iri("o"))]
    assert ask(warehouse, asked.format("efo_ancestors_of", "EX:p")) == [("EX:a", 1, iri("p"))]
    assert ask(warehouse, asked.format("efo_descendants", "EX:b")) == [("EX:c", 1, None)]
    assert ask(warehouse, asked.format("efo_descendants", "EX:r")) == [], "consider is weaker"
    for function in FUNCTIONS:
        with pytest.raises(psycopg.errors.CardinalityViolation, match="one of EX:a, EX:b"):
            ask(warehouse, f"select * from {function}('EX:q')")


OLD_AND_NEW = (
    *(term(name) for name in "ab"),
    term("o", is_obsolete=True, replaced_by=["EX:a"]),
    term("q", is_obsolete=True, replaced_by=["EX:a", "EX:b"], consider=["EX_A1"]),
    term("r", is_obsolete=True, consider=["EX:b"]),
    term("s", is_obsolete=True),
    term("EX_A1", curie=None),
)
"""Current classes, and obsolete ones that lead to one, to several, to a weaker one, to none."""


@pytest.mark.fault("P37")
def test_each_of_many_ids_says_where_it_leads_today(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[*OLD_AND_NEW, term("v")])
    publish(warehouse, "2", terms=OLD_AND_NEW)
    leads = {
        "EX:a": ("current", "EX:a", []),
        "ex_a": ("current", "EX:a", []),
        iri("EX_A1").upper(): ("current", None, []),
        f"\u00a0{iri('a')}\n": ("current", "EX:a", []),
        "EX_o": ("replaced", "EX:a", []),
        "ex:a1": ("current", None, []),
        "EX:q": ("ambiguous", None, ["EX:a", "EX:b"]),
        "EX:r": ("obsolete", None, ["EX:b"]),
        "EX:s": ("obsolete", None, []),
        "EX:v": ("vanished", None, []),
        "EX:nobody": ("unknown", None, []),
        "http://elsewhere.org/a": ("unknown", None, []),
        "": ("unknown", None, []),
    }
    asked = [*leads, "EX:a", None]
    with warehouse.connect() as connection:
        found = connection.execute(
            "select id, status, curie, candidates, found_iri, label"
            " from public.efo_resolve(%s::text[])",
            [asked],
        ).fetchall()
    assert [row[0] for row in found] == asked, "in their order, and as often as they were asked for"
    assert {row[0]: row[1:4] for row in found} == leads | {None: ("unknown", None, [])}
    named = {row[0]: row[4:] for row in found}
    assert named["EX_o"] == (iri("o"), "label of a")
    assert named["EX:v"] == (iri("v"), None)
    assert named["EX:nobody"] == (None, None)


@pytest.mark.fault("P37")
def test_one_id_and_many_agree(warehouse: Warehouse) -> None:
    publish(warehouse, terms=OLD_AND_NEW)
    for (each,) in ask(warehouse, "select iri from efo_terms"):
        many = ask(warehouse, f"select status, term_id from efo_resolve(array['{each}'])")
        if many[0][0] == "ambiguous":
            continue
        one = ask(warehouse, f"select term_id, followed_from from efo_resolve('{each}')")
        status, leads_to = many[0]
        assert one[0][1] == (each if status == "replaced" else None)
        assert status == "obsolete" or one[0][0] == leads_to


def test_an_annotation_is_checked_by_its_id_and_its_label(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[
            term("a", "Crohn's disease", other_labels=["regional enteritis"]),
            term("b", "obsolete_old name", is_obsolete=True, replaced_by=["EX:a"]),
            term("c", "lost name", is_obsolete=True),
        ],
        synonyms=[synonym("a", "granulomatous colitis", "related")],
    )
    annotations = {
        ("EX:a", "Crohn's disease"): ("current", "exact", "EX:a"),
        ("ex_a", "CROHN\u2019S  DISEASE"): ("current", "normalised", "EX:a"),
        ("EX_a", "Granulomatous-colitis"): ("current", "synonym", "EX:a"),
        ("EX:a", "Regional enteritis"): ("current", "synonym", "EX:a"),
        ("EX:a", "old name"): ("current", "none", "EX:a"),
        ("EX:a", " - "): ("current", "none", "EX:a"),
        ("EX:a", None): ("current", None, "EX:a"),
        ("EX:b", "obsolete_old name"): ("replaced", "exact", "EX:a"),
        ("EX:b", "Old name"): ("replaced", "normalised", "EX:a"),
        ("EX:b", "Crohn's disease"): ("replaced", "exact", "EX:a"),
        ("EX:b", "granulomatous colitis"): ("replaced", "synonym", "EX:a"),
        ("EX:c", "lost name"): ("obsolete", "exact", None),
        ("EFO_0000400", "lost name"): ("unknown", None, None),
    }
    with warehouse.connect() as connection:
        checked = connection.execute(
            "select a.id, a.name, c.status, c.agreement, c.curie"
            " from unnest(%s::text[], %s::text[]) as a (id, name)"
            " cross join lateral public.efo_check(a.id, a.name) as c",
            [list(each) for each in zip(*annotations, strict=True)],
        ).fetchall()
    assert {row[:2]: row[2:] for row in checked} == annotations


EARLIER = """
drop function public.efo_descendants (text, boolean);
create function public.efo_descendants(term text, over_parts boolean default false)
returns table (term_id bigint, iri text, curie text, label text, distance smallint)
language sql stable parallel safe
begin atomic
    select t.id, t.iri, t.curie, t.label, 1::smallint from public.efo_terms as t;
end;
"""


@pytest.mark.parametrize("is_used", [False, True])
def test_a_function_that_gets_a_column_keeps_its_grants_and_its_users(
    warehouse: Warehouse, is_used: bool
) -> None:
    publish(warehouse, terms=[term("a"), term("b")], edges=[edge("b", "a")])
    grants = (
        "select grantee::regrole::text, privilege_type from pg_proc, aclexplode(proacl)"
        " where proname = 'efo_descendants' and grantee <> proowner order by 1"
    )
    with warehouse.connect() as connection:
        connection.execute(EARLIER)
        connection.execute(
            "comment on function public.efo_descendants is '(efo_assets, definition 1)';"
            "revoke execute on function public.efo_descendants from public;"
            "grant execute on function public.efo_descendants to pg_monitor"
        )
        if is_used:
            connection.execute(
                "create view public.mine as select * from public.efo_descendants('EX:a')"
            )
    publish(warehouse, "2", terms=[term("a"), term("b", "new")], edges=[edge("b", "a")])
    assert ask(warehouse, grants) == [("pg_monitor", "EXECUTE")]
    assert ask(warehouse, "select curie, followed_from from efo_descendants('EX:a')") == [
        ("EX:b", None)
    ]
    if is_used:
        assert len(ask(warehouse, "select * from mine")) == 2


def test_words_are_found_in_labels_and_synonyms(warehouse: Warehouse) -> None:
    publish(
        warehouse,
        terms=[
            term("a", "chronic kidney diseases"),
            term("b", "b"),
            term("c", "obsolete kidney disease", is_obsolete=True),
        ],
        synonyms=[synonym("b", "disease of the kidney")],
    )
    found = ask(warehouse, "select right(curie, 1), kind from efo_search('kidney disease')")
    assert found == [("a", "label"), ("b", "exact")]
    assert ask(warehouse, "select count(*) from efo_search('kidney disease', 1)") == [(1,)]
    assert ask(warehouse, "select count(*) from efo_search('kidney -chronic')") == [(1,)]
    assert ask(warehouse, "select count(*) from efo_search('')") == [(0,)]


def test_a_word_that_is_in_no_index_stands_in_for_none(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a", "sever"), term("b", "very severe over all")])
    for words in ("veri sever", "overr", "veryy"):
        assert ask(warehouse, f"select count(*) >= 0 from efo_search('{words}')") == [(True,)]


def test_a_release_number_says_which_when_from_where_and_how_much(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a"), term("b")], limit=2)
    second = publish(warehouse, "2", terms=[term("a"), term("c")], synonyms=[synonym("c", "x")])
    with Warehouse(warehouse.target, "elsewhere") as other:
        publish(other, "9", terms=[term("a")], ontology="other")
    resolved = ask(
        warehouse,
        "select distinct t.curie, r.ontology, r.version, r.version_iri, r.is_partial, r.is_current"
        " from efo_terms as t join efo_release as r on r.release_id = t.changed_release order by 1",
    )
    old, new = ("efo", "1", "http://v/1", True, False), ("efo", "2", "http://v/2", False, True)
    assert resolved == [("EX:a", *old), ("EX:b", *new), ("EX:c", *new)]
    ((counts, source, content, age_s),) = ask(
        warehouse,
        "select counts, source_url, content_hash, extract(epoch from now() - published_at)"
        " from efo_release where is_current",
    )
    assert counts == second.rows
    assert counts["efo_synonyms"] == 1
    assert source == "http://ols"
    assert content.startswith("terms=2:")
    assert 0 <= age_s < 60
    assert ask(warehouse, "select version from elsewhere.efo_release") == [("9",)]


def test_a_class_that_goes_and_comes_back_is_seen_as_it_was(warehouse: Warehouse) -> None:
    others = [term("root"), term("b")]
    publish(
        warehouse,
        terms=[*others, term("v", "one"), term("w", is_obsolete=True)],
        synonyms=[synonym("v", "eins: a", "broad"), synonym("v", "eins: a"), synonym("b", "x")],
        edges=[edge("v", "root"), edge("b", "root", "part_of")],
        xrefs=[xref("v", "mesh", "D1:2")],
    )
    publish(warehouse, "2", terms=others, synonyms=[synonym("b", "x", "broad")])
    publish(
        warehouse,
        "3",
        terms=[*others, term("v", "obsolete_one", definition="gone", is_obsolete=True), term("w")],
        synonyms=[synonym("v", "zwei"), synonym("b", "x", "broad")],
    )
    publish(warehouse, "4", terms=[*others, term("v", "two", definition=None)], edges=[])

    def seen(release: int) -> dict[str, list[Any]]:
        columns = "curie, label, definition, is_obsolete, synonyms, parents, xrefs"
        rows = ask(warehouse, f"select {columns} from efo_as_of({release})")
        return {curie.removeprefix("EX:"): row for curie, *row in rows}

    part_of, is_a = f"part_of {iri('root')}", f"is_a {iri('root')}"
    b, w = ["label of b", "Definition of b."], ["label of w", "Definition of w."]
    root = ["label of root", "Definition of root.", False, [], [], []]
    assert seen(1) == {
        "root": root,
        "b": [*b, False, ["exact: x"], [part_of], []],
        "v": ["one", "Definition of v.", False, ["broad, exact: eins: a"], [is_a], ["mesh:D1:2"]],
        "w": [*w, True, [], [], []],
    }
    assert seen(2) == {"root": root, "b": [*b, False, ["broad: x"], [], []]}
    assert seen(3) == {
        **seen(2),
        "v": ["obsolete_one", "gone", True, ["exact: zwei"], [], []],
        "w": [*w, False, [], [], []],
    }
    assert seen(4) == {
        "root": root,
        "b": [*b, False, [], [], []],
        "v": ["two", None, False, [], [], []],
    }
    told = ask(
        warehouse,
        "select curie, kind, before, after from efo_diff(1, 4) where curie <> 'EX:b'",
    )
    assert told == [
        ("EX:v", "parent removed", is_a, None),
        ("EX:v", "redefined", "Definition of v.", None),
        ("EX:v", "relabelled", "one", "two"),
        ("EX:v", "synonym removed", "broad, exact: eins: a", None),
        ("EX:v", "xref removed", "mesh:D1:2", None),
        ("EX:w", "removed", "label of w", None),
    ]
    assert ask(
        warehouse, "select curie, kind, after from efo_diff(2, 3) where curie <> 'EX:b'"
    ) == [("EX:v", "restored", "obsolete_one"), ("EX:w", "restored", "label of w")]


def test_what_is_not_known_of_a_release_is_an_error(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")], limit=1)
    publish(warehouse, "2", terms=[term("a"), term("b")])
    publish(warehouse, "3", terms=[term("a"), term("c")])
    assert ask(warehouse, "select curie from efo_as_of(2) order by 1") == [("EX:a",), ("EX:b",)]
    for query, said in {
        "efo_as_of(1)": "What release 2 changed is not known, so neither is what stood before it",
        "efo_diff(1, 3)": "What release 2 changed is not known",
        "efo_as_of(9)": "The ledger has no release 9; efo_release lists them",
        "efo_diff(2, 9)": "The ledger has no release 9; efo_release lists them",
        "efo_diff(3, 2)": "Release 3 is not earlier than 2: name the earlier one first",
    }.items():
        with pytest.raises(psycopg.Error, match=said) as raised:
            ask(warehouse, f"select * from {query}")
        assert len(str(raised.value.diag.context)) < 400, "psql prints it"


def mesh(warehouse: Warehouse) -> list[Any]:
    return ask(
        warehouse,
        "select mesh_id, right(curie, 1), mesh_kind, relation, is_own, via, is_only_term,"
        " is_only_mesh_id from efo_mesh_terms join efo_terms on id = term_id order by 1, 2",
    )


def test_mesh_leads_to_current_terms_by_the_strongest_evidence(warehouse: Warehouse) -> None:
    exact = (*xref("a", "mesh", "D000001")[:3], "exact", ["MONDO:equivalentTo"], None, [])
    publish(
        warehouse,
        terms=[
            term("a"),
            term("b"),
            term("o", is_obsolete=True, replaced_by=["EX:a"]),
            term("p", is_obsolete=True, replaced_by=["EX:a", "EX:b"]),
        ],
        xrefs=[
            exact,
            xref("b", "mesh", "D000001"),
            xref("o", "mesh", "D000001"),
            xref("o", "mesh", "c000000002"),
            xref("p", "mesh", "Q000003"),
            xref("b", "mesh", "C04.588"),
            xref("b", "umls", "D000009"),
        ],
    )
    assert mesh(warehouse) == [
        ("C000000002", "a", "supplementary", "xref", False, [iri("o")], True, False),
        ("D000001", "a", "descriptor", "exact", True, [iri("o")], False, False),
        ("D000001", "b", "descriptor", "xref", True, [], False, True),
    ]
    assert ask(
        warehouse,
        "select offenders, blocking from verdicts where check_name = 'mesh_ids_are_well_formed'",
    ) == [(1, False)]


def test_what_is_made_tells_its_purpose_and_is_made_once(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    oids = ask(warehouse, "select oid from pg_proc where pronamespace = 'public'::regnamespace")
    publish(warehouse, "2", terms=[term("a"), term("b")])
    assert (
        ask(warehouse, "select oid from pg_proc where pronamespace = 'public'::regnamespace")
        == oids
    )
    comments = {
        each[0]
        for each in ask(
            warehouse,
            "select description from pg_description join pg_proc on pg_proc.oid = objoid"
            " union all select description from pg_description"
            " join pg_class on pg_class.oid = objoid where relkind = 'v' and objsubid = 0",
        )
    }
    assert comments >= {view.comment(warehouse.schema) for view in views_of(warehouse.schema)}


def test_an_older_definition_is_replaced(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a")])
    with warehouse.connect() as connection:
        for what in ("view public.efo_mesh_xrefs", "function public.efo_lookup (text)"):
            connection.execute(f"comment on {what} is 'As it was. (efo_assets, definition 0)'")
    publish(warehouse, "2", terms=[term("a"), term("b")])
    assert ask(
        warehouse, "select obj_description('efo_mesh_xrefs'::regclass) like '%definition 2)'"
    ) == [(True,)]
    assert ask(
        warehouse, "select obj_description('efo_lookup(text)'::regprocedure) like 'Current terms%'"
    ) == [(True,)]


def indexes(warehouse: Warehouse) -> dict[str, str]:
    query = (
        "select indexname, indexdef from pg_indexes"
        " where tablename in ('efo_terms', 'efo_synonyms') order by 1"
    )
    return dict(ask(warehouse, query))


def test_indexes_of_an_earlier_version_are_replaced(warehouse: Warehouse) -> None:
    publish(warehouse, terms=[term("a", "one")], synonyms=[synonym("a", "other")])
    new = indexes(warehouse)
    assert sum("efo_normalised" in each or "efo_folded" in each for each in new.values()) == 4
    with warehouse.connect() as connection:
        for name in ("efo_labels", "efo_lookup", "efo_search", "efo_folded", "efo_normalised"):
            kind = "view" if name == "efo_labels" else "function"
            connection.execute(f"drop {kind} if exists public.{name} cascade")
        connection.execute(OLD_INDEXES)
    assert len(indexes(warehouse)) == len(new)
    publish(warehouse, "2", terms=[term("a", "one"), term("b")], synonyms=[synonym("a", "other")])
    assert indexes(warehouse) == new
    assert lookup(warehouse, "OTHER") == [("a", "exact", False, False)]
