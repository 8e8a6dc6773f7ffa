"""Words from which labels, synonyms and definitions of the generated ontology are made.

General English and anatomy; no label, definition or identifier of EFO is copied here.
"""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split(", "))


QUALITIES = _words(
    "acute, atypical, benign, chronic, congenital, diffuse, early, familial, focal, hereditary, "
    "idiopathic, induced, juvenile, late, latent, mild, mixed, nocturnal, partial, persistent, "
    "primary, recurrent, secondary, severe, silent, sporadic, transient, unilateral, variable, "
    "wandering"
)
PLACES = _words(
    "ankle, artery, bladder, bone marrow, brow, cartilage, cheek, colon, cornea, ear, elbow, "
    "eyelid, fingertip, gland, heart, hip, kidney, knee, larynx, liver, lung, lymph node, muscle, "
    "nail, neck, nerve, palate, retina, rib, scalp, shoulder, skin, spine, spleen, stomach, "
    "tendon, throat, thymus, tongue, wrist"
)
KINDS = _words(
    "atrophy, cell count, concentration, condition, deficiency, density, development, disease, "
    "disorder, dysfunction, fracture, growth, infection, inflammation, injury, lesion, level, "
    "malformation, measurement, morphology, neoplasm, pain, process, response, rigidity, "
    "sensitivity, stenosis, swelling, syndrome, trait, ulcer, volume, weakness, width"
)
VERBS = _words("affects, alters, arises in, damages, follows, involves, precedes, spares")
