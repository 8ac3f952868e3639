"""The public API, each name from the module that defines it."""

from .advice.advise import advise as advise
from .advice.choice import Advice as Advice
from .defaults.pretraining import DEFAULTS as DEFAULTS
from .defaults.pretraining import Pretraining as Pretraining
from .deploy.compression.base import Compression as Compression
from .deploy.compression.catalogue import COMPRESSIONS as COMPRESSIONS
from .deploy.compression.door import compress as compress
from .deploy.compression.files import load_compressed as load_compressed
from .deploy.compression.record import Compressed as Compressed
from .deploy.compression.techniques.delta import Delta as Delta
from .deploy.compression.techniques.distill import Student as Student
from .deploy.compression.techniques.low_rank import LowRank as LowRank
from .deploy.compression.techniques.prune import PruneWeights as PruneWeights
from .deploy.compression.techniques.quantize import Quantize as Quantize
from .deploy.compression.techniques.units import PruneUnits as PruneUnits
from .deploy.export import export as export
from .deploy.gymnasium_episodes import gymnasium_returns as gymnasium_returns
from .deploy.play import play as play
from .envs.catalogue import (
    held_out_grid as held_out_grid,
)
from .envs.catalogue import (
    held_out_tasks as held_out_tasks,
)
from .envs.catalogue import (
    make_task as make_task,
)
from .envs.catalogue import (
    validation_tasks as validation_tasks,
)
from .envs.shifts import SHIFTS as SHIFTS
from .envs.shifts import Shift as Shift
from .envs.shifts import shifts_of as shifts_of
from .envs.task import Task as Task
from .methods.adapters import (
    ADAPTERS as ADAPTERS,
)
from .methods.adapters import (
    IA3 as IA3,
)
from .methods.adapters import (
    Adapter as Adapter,
)
from .methods.adapters import (
    Bottleneck as Bottleneck,
)
from .methods.adapters import (
    DoRA as DoRA,
)
from .methods.adapters import (
    Full as Full,
)
from .methods.adapters import (
    InputAffine as InputAffine,
)
from .methods.adapters import (
    LastK as LastK,
)
from .methods.adapters import (
    LoRA as LoRA,
)
from .methods.adapters import (
    OutputAffine as OutputAffine,
)
from .methods.adapters import (
    Partial as Partial,
)
from .methods.adapters import (
    PlasticityInjection as PlasticityInjection,
)
from .methods.adapters import (
    ProgressiveColumn as ProgressiveColumn,
)
from .methods.adapters import (
    RandomSubspace as RandomSubspace,
)
from .methods.adapters import (
    ResidualPolicy as ResidualPolicy,
)
from .methods.adapters import (
    Sparse as Sparse,
)
from .methods.alignment import ALIGNMENTS as ALIGNMENTS
from .methods.alignment import Alignment as Alignment
from .methods.alignment import Realign as Realign
from .methods.catalogue import METHODS as METHODS
from .methods.catalogue import RECOMMENDED as RECOMMENDED
from .methods.control import (
    CONTROLS as CONTROLS,
)
from .methods.control import (
    PBT as PBT,
)
from .methods.control import (
    Control as Control,
)
from .methods.control import (
    GapDecay as GapDecay,
)
from .methods.control import (
    Strength as Strength,
)
from .methods.data import (
    DATA as DATA,
)
from .methods.data import (
    Between as Between,
)
from .methods.data import (
    Data as Data,
)
from .methods.data import (
    JumpStart as JumpStart,
)
from .methods.data import (
    Mixture as Mixture,
)
from .methods.data import (
    Replay as Replay,
)
from .methods.finish import FINISHES as FINISHES
from .methods.finish import Finish as Finish
from .methods.finish import Prune as Prune
from .methods.finish import Soup as Soup
from .methods.finish import WiSE as WiSE
from .methods.imagination import IMAGINATIONS as IMAGINATIONS
from .methods.imagination import Imagination as Imagination
from .methods.interventions import (
    INTERVENTIONS as INTERVENTIONS,
)
from .methods.interventions import (
    ContinualBackprop as ContinualBackprop,
)
from .methods.interventions import (
    Intervention as Intervention,
)
from .methods.interventions import (
    NormalizeProject as NormalizeProject,
)
from .methods.interventions import (
    PeriodicResets as PeriodicResets,
)
from .methods.interventions import (
    ReDo as ReDo,
)
from .methods.interventions import (
    SoftShrinkPerturb as SoftShrinkPerturb,
)
from .methods.interventions import (
    WeightClipping as WeightClipping,
)
from .methods.look import LOOKS as LOOKS
from .methods.look import Look as Look
from .methods.method import Method as Method
from .methods.optimizers import (
    ADOPT as ADOPT,
)
from .methods.optimizers import (
    OPTIMIZERS as OPTIMIZERS,
)
from .methods.optimizers import (
    SGD as SGD,
)
from .methods.optimizers import (
    TRAC as TRAC,
)
from .methods.optimizers import (
    Adam as Adam,
)
from .methods.optimizers import (
    AdaptiveDecay as AdaptiveDecay,
)
from .methods.optimizers import (
    AdEMAMix as AdEMAMix,
)
from .methods.optimizers import (
    DoG as DoG,
)
from .methods.optimizers import (
    DoWG as DoWG,
)
from .methods.optimizers import (
    Mechanize as Mechanize,
)
from .methods.optimizers import (
    Muon as Muon,
)
from .methods.optimizers import (
    Optimizer as Optimizer,
)
from .methods.optimizers import (
    Prodigy as Prodigy,
)
from .methods.optimizers import (
    RMSProp as RMSProp,
)
from .methods.optimizers import (
    ScheduleFree as ScheduleFree,
)
from .methods.optimizers.keeping import Keep as Keep
from .methods.optimizers.rates import SCHEDULES as SCHEDULES
from .methods.optimizers.rates import AutoRGN as AutoRGN
from .methods.optimizers.rates import Rates as Rates
from .methods.optimizers.rates import Schedule as Schedule
from .methods.penalties import (
    EWC as EWC,
)
from .methods.penalties import (
    KL as KL,
)
from .methods.penalties import (
    L1 as L1,
)
from .methods.penalties import (
    L1SP as L1SP,
)
from .methods.penalties import (
    L2 as L2,
)
from .methods.penalties import (
    L2SP as L2SP,
)
from .methods.penalties import (
    MAS as MAS,
)
from .methods.penalties import (
    PENALTIES as PENALTIES,
)
from .methods.penalties import (
    Churn as Churn,
)
from .methods.penalties import (
    Cloning as Cloning,
)
from .methods.penalties import (
    Features as Features,
)
from .methods.penalties import (
    InFeR as InFeR,
)
from .methods.penalties import (
    L2Init as L2Init,
)
from .methods.penalties import (
    Penalty as Penalty,
)
from .methods.spaces import Range as Range
from .methods.warm_starts import (
    WARM_STARTS as WARM_STARTS,
)
from .methods.warm_starts import (
    CriticReset as CriticReset,
)
from .methods.warm_starts import (
    HeadReset as HeadReset,
)
from .methods.warm_starts import (
    Net2Deeper as Net2Deeper,
)
from .methods.warm_starts import (
    Net2Wider as Net2Wider,
)
from .methods.warm_starts import (
    Scratch as Scratch,
)
from .methods.warm_starts import (
    ShrinkPerturb as ShrinkPerturb,
)
from .methods.warm_starts import (
    Soften as Soften,
)
from .methods.warm_starts import (
    WarmStart as WarmStart,
)
from .nets.catalogue import NETWORKS as NETWORKS
from .nets.cnn import CNN as CNN
from .nets.mlp import MLP as MLP
from .rl.a2c import A2C as A2C
from .rl.actor_critic import ActorCritic as ActorCritic
from .rl.catalogue import ALGOS as ALGOS
from .rl.ppo import PPO as PPO
from .rl.q_learning.dqn import DQN as DQN
from .rl.q_learning.pqn import PQN as PQN
from .rl.q_learning.q_values import Boltzmann as Boltzmann
from .rl.q_learning.sac import SAC as SAC
from .rl.q_learning.soft_actor import SoftActor as SoftActor
from .rl.reinforce import REINFORCE as REINFORCE
from .store.checkpoints import load as load
from .store.checkpoints import save as save
from .store.import_policy import import_policy as import_policy
from .store.trackers.base import Tracker as Tracker
from .store.trackers.mlflow import MLflow as MLflow
from .store.trackers.tensorboard import TensorBoard as TensorBoard
from .store.trackers.wandb import WandB as WandB
from .sweeps.compare import compare as compare
from .sweeps.results import Comparison as Comparison
from .sweeps.search import Searched as Searched
from .sweeps.search import search as search
from .training.agents import Agents as Agents
from .training.evaluation.evaluate import evaluate as evaluate
from .training.finetune import finetune as finetune
from .training.finetune import pretrain as pretrain
from .training.weights.wrap import wrap as wrap

__version__: str
