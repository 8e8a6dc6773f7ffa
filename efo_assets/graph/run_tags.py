"""What runs of a graph's job bear: which graph it is, and which ontology they load.

Watchers know a run by its tags alone: they load no code location.
"""

from collections.abc import Mapping

from efo_assets.graph.ontology import Ontology
from efo_assets.graph.resources import PARTITION
from efo_assets.settings import Automation

GRAPH = "efo_assets/graph"
ONTOLOGY = "efo_assets/ontology"
"""Not on runs of a catalogue, whose partition it is."""


def tags_of_job(ontology: Ontology) -> dict[str, str]:
    """The tags of the job of an ontology, or of a catalogue, which its runs inherit."""
    tags = {GRAPH: ontology.names.graph}
    if ontology.partitions is None:
        tags[ONTOLOGY] = ontology.id or Automation.from_environment().ontology
    return tags


def is_of_catalogue(tags: Mapping[str, str]) -> bool:
    """Whether a run is one of a catalogue, with a partition or without."""
    return GRAPH in tags and ONTOLOGY not in tags


def partition_of(tags: Mapping[str, str]) -> str | None:
    """The ontology of a run of a catalogue; None for any other run, and for one without it."""
    return tags.get(PARTITION) if is_of_catalogue(tags) else None


def ontology_of(tags: Mapping[str, str]) -> str | None:
    """The ontology that a run loads; None where its tags don't say."""
    return tags.get(ONTOLOGY) or partition_of(tags)
