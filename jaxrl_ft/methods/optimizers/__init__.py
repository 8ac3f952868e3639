"""Every optimizer by name: configs whose numbers are all traced.

`base` has what all of them share; each is an optax transformation of one group. A file of an optimizer from
`optax.contrib` has its name there.
"""

from jaxrl_ft.core.table import Table
from jaxrl_ft.methods.optimizers.adam import Adam, AdaptiveDecay
from jaxrl_ft.methods.optimizers.ademamix import AdEMAMix
from jaxrl_ft.methods.optimizers.adopt import ADOPT
from jaxrl_ft.methods.optimizers.base import Optimizer, OptState
from jaxrl_ft.methods.optimizers.dog import DoG, DoWG
from jaxrl_ft.methods.optimizers.gradient_descent import SGD, RMSProp
from jaxrl_ft.methods.optimizers.keeping import Keep
from jaxrl_ft.methods.optimizers.mechanic import Mechanize
from jaxrl_ft.methods.optimizers.muon import Muon
from jaxrl_ft.methods.optimizers.prodigy import Prodigy
from jaxrl_ft.methods.optimizers.schedule_free import ScheduleFree
from jaxrl_ft.methods.optimizers.trac import TRAC

__all__ = [
    "ADOPT",
    "OPTIMIZERS",
    "SGD",
    "TRAC",
    "AdEMAMix",
    "Adam",
    "AdaptiveDecay",
    "DoG",
    "DoWG",
    "Keep",
    "Mechanize",
    "Muon",
    "OptState",
    "Optimizer",
    "Prodigy",
    "RMSProp",
    "ScheduleFree",
]

OPTIMIZERS: Table[Optimizer] = Table("optimizer")
OPTIMIZERS.add("adam", Adam(), "Adam (arXiv:1412.6980)")
OPTIMIZERS.add("nadam", Adam(nesterov=True), "Adam with Nesterov momentum (Dozat 2016)")
OPTIMIZERS.add("adamw", Adam(weight_decay=1e-2), "Adam with decoupled weight decay (arXiv:1711.05101)")
OPTIMIZERS.add("nadamw", Adam(nesterov=True, weight_decay=1e-2), "NAdam with decoupled weight decay")
OPTIMIZERS.add(
    "adam_ns",
    Adam(beta1=0.99, beta2=0.99),
    "Adam with equal betas, against loss of plasticity (Dohare 2024, Nature 632)",
)
OPTIMIZERS.add("adam_rel", Adam(local_time=1.0), "Adam whose step count starts over at every update (arXiv:2412.17113)")
OPTIMIZERS.add(
    "cautious",
    Adam(cautious=True),
    "Adam that skips the entries of a step that point against the gradient (arXiv:2411.16085)",
)
OPTIMIZERS.add(
    "adaptive_decay", AdaptiveDecay(), "Adam with weight decay in proportion to the gradient's norm (arXiv:2210.00094)"
)
OPTIMIZERS.add("trac", TRAC(), "Adam that tunes how far it may move from where it started (arXiv:2405.16642)")
OPTIMIZERS.add("sgd", SGD(learning_rate=0.1), "gradient descent with momentum")
OPTIMIZERS.add("rmsprop", RMSProp(), "the gradient divided by its running root mean square (Hinton 2012)")
OPTIMIZERS.add("ademamix", AdEMAMix(), "Adam with a fast and a slow momentum (arXiv:2409.03137)")
OPTIMIZERS.add("adopt", ADOPT(), "Adam that divides by the second moment before the momentum (arXiv:2411.02853)")
OPTIMIZERS.add("muon", Muon(), "orthogonalised momentum for matrices (Jordan et al. 2024)")
OPTIMIZERS.add(
    "schedule_free",
    ScheduleFree(),
    "AdamW with averages of weights in the place of momentum and schedule (arXiv:2405.15682)",
)
OPTIMIZERS.add("mechanize", Mechanize(), "Adam whose learning rate is scaled by a learned factor (arXiv:2306.00144)")
OPTIMIZERS.add(
    "prodigy", Prodigy(), "AdamW that estimates its learning rate from the distance covered (arXiv:2306.06101)"
)
OPTIMIZERS.add(
    "dog", DoG(), "gradient descent that sets its rate by distance covered over gradients seen (arXiv:2302.12022)"
)
OPTIMIZERS.add("dowg", DoWG(), "dog with gradients weighted by the distance (arXiv:2305.16284)")
