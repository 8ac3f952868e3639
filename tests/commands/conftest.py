"""Commands play hundreds of episodes of each agent, so their programs are compiled as users have them."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def as_users_have_it(optimised):
    pass
