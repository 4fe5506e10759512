"""A backbone's card: what all of them show, so that a notebook holds its own story and no machinery."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from lmam_book.pages import headline_page, live_runs
from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common as figures
from lmam_book.pages.parameters import Rule, check_parameters, check_rank
from lmam_book.plans.plans import stored_runs
from lmam_book.verdicts import beside_paper, headline, sizes
from lmam_core import paths
from lmam_core.batch import collate
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import EMBEDDINGS, Embedded
from lmam_core.runs import names as run_names
from lmam_core.runs.device import usable
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.metrics import outcomes, summarise
from lmam_core.runs.run import build, prepared
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training, selection_metric

RULES: dict[str, Rule] = {
    "profile": ("quick", "full"),
    "dataset": tuple(catalogue.names()),
    "rank": range(1, 513),
    "embedding": EMBEDDINGS,
    "seed": range(2**31),
    "device": ("auto", "cpu", "cuda"),
    "store": str,
}
"""What a card's parameters may be, for `check_parameters`."""


@dataclass(frozen=True)
class Asked:
    """A card's parameters: of the live run, and `store`, where the measured runs are read."""

    profile: str
    dataset: str
    rank: int
    embedding: str
    seed: int
    device: str
    store: str


class Card:
    """The card of a backbone, which reads the notebook's parameters again at every call: what it shows is theirs.

    `names` is the notebook's `globals()`, `quick` the budget of the live run in the quick profile. Raises LmamError,
    one sentence, for parameters that are not possible, here or at the first call after they were changed.
    """

    def __init__(self, backbone: str, names: Mapping[str, Any], **quick: float) -> None:
        self.backbone, self.names, self.quick = backbone, names, quick
        self._checked: Asked | None = None
        self._trained: dict[Asked, dict[str, tuple[Embedded, Dataset, Training]]] = {}
        self.asked  # noqa: B018  # parameters that are not possible are told where the card is created

    @property
    def asked(self) -> Asked:
        """The parameters as they are now, checked."""
        now = Asked(**{field.name: self.names[field.name] for field in dataclasses.fields(Asked)})
        if now != self._checked:
            check_parameters(self.names, **RULES)
            arm = self._arm(now, "lmam")
            prepared(arm)  # says how a file that is missing can be had
            check_rank(arm)
            self._checked = now
        return now

    def _arm(self, now: Asked, fusion: str) -> Experiment:
        """The live run's arm with LMAM, or with another fusion and the same encoders."""
        budget = {"learning_rate": 3e-3} | self.quick if now.profile == "quick" else {}
        base = Experiment(now.dataset, backbone=self.backbone, fusion=fusion, seed=now.seed, **budget)  # type: ignore[arg-type]
        if fusion == "lmam":
            return dataclasses.replace(base, embedding=now.embedding, rank=now.rank)
        early = now.embedding != "late" and not BACKBONES[self.backbone].multimodal
        return dataclasses.replace(base, embedding="early" if early else "late")

    @property
    def data(self) -> Dataset:
        """The dataset of the live run."""
        return prepared(self._arm(self.asked, "lmam"))

    def model(self, fusion: str = "lmam") -> Embedded:
        """The untrained model of the live run with LMAM, or with another fusion."""
        return build(self._arm(self.asked, fusion), self.data)

    @property
    def cells(self) -> list[headline.Cell]:
        """The backbone's measured runs against concatenation."""
        return headline_page.cells(self.asked.store, self.backbone)

    def answer(self) -> Markdown:
        """The gain on each dataset with interval, seeds, the paper's gain and the word; what is not measured yet."""
        parts = headline_page.answer(self.cells), headline_page.missing(self.cells, self.asked.store)
        return Markdown("\n\n".join(part for part in parts if part))

    def gains(self) -> Figure | None:
        """The gains drawn; None without runs."""
        return headline_page.gains(self.cells)

    def classes(self) -> Figure | None:
        """The gain in each class; None without runs."""
        return headline_page.classes(self.cells)

    def where(self) -> Figure:
        """Where LMAM stands in the live run's model, drawn."""
        multimodal = BACKBONES[self.backbone].multimodal
        return figures.embeddings(
            run_names.title(self.backbone), tuple(self.data.widths), multimodal, (self.asked.embedding,)
        )

    def parts(self) -> HTML:
        """The parameters of the live run's two models by part."""
        arms = (self._arm(self.asked, fusion).resolved() for fusion in ("concat", "lmam"))
        return parts({run_names.arm(e): build(e, self.data) for e in arms}, self._arm(self.asked, "lmam"))

    def original(self) -> HTML:
        """What the comparison with the original gave, in a sentence, with tables of it and of the sizes folded away."""
        names = [name for name in BACKBONES if name.removesuffix("_att") == self.backbone]
        folded = reporting.fold("Parameters, beside the original and Table VI", reporting.table(sizes.table(*names)))
        timings = sizes.timings().query("backbone == @self.backbone").sort_values(["threads", "mode"])
        return HTML(_compared(timings) + folded.data if len(timings) else folded.data)

    @property
    def trained(self) -> dict[str, tuple[Embedded, Dataset, Training]]:
        """The live run: the backbone without and with LMAM, trained once for the same parameters."""
        now = dataclasses.replace(self.asked, store="")
        if now not in self._trained:
            arms = [self._arm(now, fusion) for fusion in ("concat", "lmam")]
            self._trained[now] = live_runs.train({run_names.arm(e.resolved()): e for e in arms}, now.device)
        return self._trained[now]

    def live(self) -> HTML:
        """Test scores, parameters and times of the live run, below what no training reaches."""
        now, constant = self.asked, _constant(self.data)
        rows = [live_runs.scored(name, *trained) for name, trained in self.trained.items()]
        metric, sign = selection_metric(self.data)
        enough = 5 if self.data.classes else 0.05  # points of F1, or of the scale of the labels
        slow = [str(row["arm"]) for row in rows if sign * (row[metric] - constant[metric]) < enough]
        updates = next(iter(self.trained.values()))[2].updates
        caption = (
            f"{now.dataset}, rank {now.rank}, seed {now.seed}: {len(self.data.splits['train'])} conversations, "
            f"{updates} updates per model, trained on {usable(now.device)}. {self._full()}"
        )
        if len(self.data.widths) == 1:
            caption += " One modality: nothing is fused, and LMAM is a layer of context."
        if now.dataset == "mosi" and "video" in self.data.widths:
            caption += " The video features know the training labels."
        if slow:
            caption += f" Not yet learned, so that its scores mean nothing: {' and '.join(slow)}."
        shown = reporting.table(pd.DataFrame([constant, *rows]), caption)
        return HTML(reporting.note(self.data).data + shown.data)

    def _full(self) -> str:
        """How long the full profile would take, judged by the updates of the quick one."""
        if self.asked.profile == "full":
            return ""
        return live_runs.full(self.trained, self._arm(self.asked, "lmam").resolved().batch_size or 1)

    def curves(self) -> Figure:
        """Loss and validation score of the live run by epoch."""
        metric = "weighted F1" if self.data.classes else "MAE"
        return figures.curves({n: (t.train_loss, t.selection_score) for n, (*_, t) in self.trained.items()}, metric)

    def log(self) -> Figure | None:
        """Loss and validation score by epoch of two measured runs, without and with LMAM; None where there are none."""
        runs = [run for cell in self.cells for some in cell.runs.values() for run in some]
        groups: dict[tuple[str, str, int], dict[str, Training]] = {}
        for run in runs + stored_runs(self.backbone, Store(paths.store(self.asked.store))):
            e = run.experiment
            groups.setdefault((e.dataset, e.protocol, e.seed), {})[run_names.arm(e)] = run.training
        for (dataset, *_), arms in sorted(groups.items(), key=lambda group: group[0][0] != "iemocap"):
            if len(arms) > 1:
                drawn = {f"{arm}, {dataset}": (t.train_loss, t.selection_score) for arm, t in list(arms.items())[:2]}
                return figures.curves(drawn, "weighted F1" if dataset != "mosi" else "MAE")
        return None

    def first_protocol(self) -> HTML:
        """The paper's numbers beside those of the first protocol's runs, folded away; nothing without runs."""
        store = Store(paths.store(self.asked.store))
        runs = stored_runs(self.backbone, store) + [
            r for r in stored_runs("meld", store) if r.experiment.backbone == self.backbone
        ]
        if not runs:
            return HTML("")
        frame = beside_paper.frame(runs)
        folded = [HTML(f"<p>{FIRST_PROTOCOL}</p>")]
        for dataset in frame.dataset.unique():
            beside = beside_paper.beside(frame, self.backbone, dataset)
            first, *metrics = dict.fromkeys(beside.columns.get_level_values(0))
            for k in range(0, len(metrics), 3):  # which is what a page is wide enough for
                shown = beside[[first, *metrics[k : k + 3]]]
                folded.append(reporting.table(shown, "" if k else headline.DATASETS[dataset]))
        return reporting.fold("Runs of the first protocol", *folded)

    def footer(self) -> HTML:
        """Where the page's numbers came from."""
        now = self.asked
        return reporting.footer(Store(paths.store(now.store)), dataclasses.asdict(now))


FIRST_PROTOCOL = (
    "Batches of 32 conversations and at most 60 epochs stopped some models before they had learned, so that nothing "
    "above rests on these runs. CMU-MOSI has video here, whose features know the training labels; MELD is text alone. "
    "Ours: mean over n seeds ± half the width of its 95 % interval; at limit: runs that might have gone on."
)


def _compared(timings: pd.DataFrame) -> str:
    """How far ours is from the original, and how its time compares, both in one run with the same weights, as HTML."""
    rows = [
        {
            "mode": t.mode,
            "threads": t.threads,
            "runs": t.repeats,
            "original, s": t.original_s,
            "ours, s": t.ours_s,
            "times as fast": t.ratio,
        }
        for t in timings.itertuples()
    ]
    one = timings.iloc[0]
    where = (
        f"{one.conversations} conversations, {one.utterances:,} utterances, {one.width} wide; torch {one.torch}, CPU"
    )
    caption = f"Forward and backward of {where}. In the mode faithful padding leaks in as in the original."
    sentences = (
        f"<p>With the same weights, in float64, outputs differ from the original's by {one.output_difference:.0e} and "
        f"gradients by {one.gradient_difference:.0e}. Forward and backward take {one.ours_s:.2f} s in ours, "
        f"{one.original_s:.2f} s in the original.</p>"
    )
    times = reporting.fold("Times beside the original", reporting.table(pd.DataFrame(rows), caption))
    return sentences + str(times.data)


def parts(models: Mapping[str, Embedded], asked: Experiment) -> HTML:
    """The parameters of named models by part; `asked` is the one with LMAM."""
    rows = []
    for name, model in models.items():
        modules = {"fusion": model.fusion, "backbone": model.backbone, "classifier": model.classifier}
        counts = {part: sum(p.numel() for p in module.parameters()) for part, module in modules.items()}
        rows.append({"arm": name} | {part: f"{n:,}" for part, n in (counts | {"all": sum(counts.values())}).items()})
    caption = f"Parameters of {run_names.title(asked.backbone)} on {asked.dataset}, rank {asked.rank}"
    return reporting.table(pd.DataFrame(rows), caption)


def padding(model: Embedded, data: Dataset) -> float:
    """How much the shortest test conversation's output changes when the longest of all shares its batch."""
    talks = sorted((c for split in data.splits.values() for c in split), key=len)
    short = min(data.splits["test"], key=len)
    with torch.no_grad():
        alone, together = model.eval()(collate([short]))[0], model(collate([short, talks[-1]]))[0, : len(short)]
    return float((alone - together).abs().max())


def _constant(data: Dataset) -> dict[str, Any]:
    """The row of a model that always predicts train's most frequent class, of a regression its median."""
    train, test = (np.concatenate([c.label for c in data.splits[split]]) for split in ("train", "test"))
    if data.classes:
        constant, name = np.bincount(train).argmax(), "always the largest class"
    else:
        constant, name = np.median(train), "always the median"
    C = data.outputs if data.classes else None
    return {"arm": name, **summarise(outcomes(test, np.full_like(test, constant), C), C), "parameters": "0"}
