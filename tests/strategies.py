"""Random fields for property tests, described as in ``tests.models.SHAPES``."""

from hypothesis import strategies as st

from fmcompress.fm.quantizer import FLOAT, HALF, INT8, Quantizer, embedding_spec, linear_spec


def quantizers(dim, *, largest=40):
    """Return any quantizers of embeddings of a size, with codebooks up to ``largest``."""
    sizes = st.integers(1, largest)
    codewords = st.one_of(
        st.just(()),
        st.just((1,)),
        st.lists(sizes, max_size=dim).map(tuple),
        st.tuples(sizes, st.integers(1, dim)).map(lambda pair: pair[:1] * pair[1]),
        st.lists(st.sampled_from([size for size in (1, 2, 4, 8, 16) if size <= largest]), max_size=dim).map(tuple),
    )
    return st.builds(Quantizer, codewords, st.integers(0, largest), st.sampled_from([FLOAT, HALF, INT8]))


def fields(dim, *, most_tiers=4, most_categories=80, largest=40):
    """Return descriptions of fields in one tier or several."""
    one = st.tuples(st.integers(1, most_categories), quantizers(dim, largest=largest)).map(described)
    return st.lists(one, min_size=1, max_size=most_tiers).map(" | ".join)


def described(tier):
    """Return the description of a tier."""
    size, quantizer = tier
    return f"{size} {embedding_spec(quantizer)} {linear_spec(quantizer)}"
