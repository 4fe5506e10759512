"""LoRA among the fusion methods: concatenation in a model that is then frozen and adapted (`lmam_core.models.lora`)."""

from lmam_core.models.contracts.fusion import register
from lmam_core.models.fusion.concat import Concat

register("lora_random", title="LoRA, random base", rank=8, base="random")(Concat)
register("lora_trained", title="LoRA, trained base", rank=8, base="trained")(Concat)
