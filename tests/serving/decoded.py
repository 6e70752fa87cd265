"""What every decoder of a body promises, whatever it is given: sound arrays, or a refusal that repeats nothing."""

import numpy as np

from millgate_serving.refusal import Refusal

SECRET = "4111-1111-1111-1111"  # among the values that are sent: no refusal may hold it


def decoded(decode, *given):
    """The arrays that the decoder makes; none where it refuses."""
    arrays, refusal = [], None
    try:
        arrays = decode(*given)
    except Refusal as error:
        refusal = error
    if refusal:
        assert refusal.status in {400, 413}
        assert SECRET not in refusal.message
        assert len(refusal.message) < 400
    else:
        assert len({len(array) for array in arrays}) == 1
        assert all(not np.isinf(array).any() for array in arrays if array.dtype.kind == "f")
    return arrays
