"""What every backbone's chapter shows, so that a notebook holds its own story and no machinery."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import torch
from IPython.display import HTML, Markdown
from matplotlib.figure import Figure

from lmam_book.pages import style as reporting
from lmam_book.pages.figures import common as figures
from lmam_book.plans.plans import RATES, held, plan
from lmam_book.verdicts import beside_print as plugin
from lmam_book.verdicts import sizes
from lmam_core.batch import collate
from lmam_core.data import catalogue
from lmam_core.data.dataset import Dataset
from lmam_core.models.backbones import BACKBONES
from lmam_core.models.embedded import EMBEDDINGS, Embedded
from lmam_core.runs import names as run_names
from lmam_core.runs import run as live
from lmam_core.runs.experiment import Experiment
from lmam_core.runs.run import Run, build
from lmam_core.runs.store import Store
from lmam_core.runs.training import Training, score

AXES = {
    "iemocap": ("weighted_f1", "weighted F1 % on IEMOCAP's 31 test dialogues"),
    "mosi": ("mae", "mean absolute error on CMU-MOSI's 31 test videos (less is better)"),
    "meld": ("weighted_f1", "weighted F1 % on MELD's 280 test dialogues"),
}
"""The metric whose seeds are drawn for a dataset, and what the axis says."""


@dataclass(frozen=True)
class Chapter:
    """A backbone's chapter for the notebook's parameters; `quick` and `device` are the live run's."""

    backbone: str
    profile: str
    dataset: str
    rank: int
    embedding: str
    seed: int
    quick: dict[str, float] = field(default_factory=lambda: {"epochs": 8, "dialogues": 48, "batch_size": 8})
    store: Store = field(default_factory=Store)
    device: str = "cpu"

    @property
    def name(self) -> str:
        """What the paper calls the backbone."""
        return run_names.title(self.backbone)

    @cached_property
    def data(self) -> Dataset:
        """The dataset of the live run."""
        return catalogue.load(self.dataset)

    @cached_property
    def runs(self) -> list[Run]:
        """The stored runs of the backbone's plan, and of MELD's where it is in that."""
        meld = [r for r in held("meld", self.store) if r.experiment.backbone == self.backbone]
        return held(self.backbone, self.store) + meld

    def missing(self, dataset: str | None = None, both: bool = False) -> HTML | None:
        """The sentence that stands where stored runs (of a dataset, of `both` arms) would; None where they are."""
        arms = {run_names.arm(r.experiment) for r in self.runs if dataset in (None, r.experiment.dataset)}
        if arms and (not both or arms >= {"concatenation", plugin.starred(self.backbone)}):
            return None
        where = f" on {dataset}" if dataset is not None else ""
        sweep = "meld" if dataset == "meld" else self.backbone
        return HTML(f"<p>No measured runs{where} yet: <code>lmam sweep {sweep}</code> makes them.</p>")

    @cached_property
    def table(self) -> pd.DataFrame:
        """The stored runs as a frame."""
        return plugin.frame(self.runs)

    @cached_property
    def claims(self) -> pd.DataFrame:
        """The paper's claims about the backbone with their verdicts."""
        return plugin.verdicts(self.table, self.backbone)

    def answer(self) -> Markdown | HTML:
        """The verdicts in each dataset's headline metric, as sentences."""
        if nothing := self.missing():
            return nothing
        main = self.claims[self.claims.claim.str.endswith("beats concatenation")]
        lines = [
            f"- **{c.dataset}**, {c.claim}: the paper's cells differ by {c.paper} {plugin.POINTS[c.metric]}; "
            + (f"we measure {c.ours} over {c.n} seeds" if c.n else "we have not measured both")
            + f": {reporting.badge(c.verdict)}"
            for c in main[main.metric == main.dataset.map(plugin.HEADLINE)].itertuples()
        ]
        return Markdown("\n".join(lines))

    def model(self, embedding: str | None = None, fusion: str = "lmam") -> Embedded:
        """The untrained backbone with LMAM in a way of embedding, or with another fusion."""
        asked = {"embedding": embedding, "rank": self.rank if fusion == "lmam" else None}
        return build(
            Experiment(self.dataset, backbone=self.backbone, fusion=fusion, seed=self.seed, **asked), self.data
        )

    def padding(self) -> str:
        """How much the shortest test conversation's output changes when the longest of all shares its batch."""
        model = self.model(self.embedding).eval()
        talks = sorted((c for split in self.data.splits.values() for c in split), key=len)
        short, long = min(self.data.splits["test"], key=len), talks[-1]
        with torch.no_grad():
            alone, together = model(collate([short]))[0], model(collate([short, long]))[0, : len(short)]
        return (
            f"{len(short)} utterances alone, or padded to {len(long)}: "
            f"largest difference {(alone - together).abs().max():.1e}"
        )

    def sizes(self) -> HTML:
        """Our parameters, the original's, Table VI's."""
        names = [name for name in BACKBONES if name.removesuffix("_att") == self.backbone]
        return reporting.table(sizes.table(*names), "Parameters for six classes, the backbone's own fusion")

    def original(self) -> HTML:
        """How far ours is from the original, and how its time compares, both in one run with the same weights."""
        known = sizes.timings().query("backbone == @self.backbone").sort_values(["threads", "mode"])
        o = known.iloc[0]
        rows = [
            {"compared": "outputs, float64", "original": "", "ours": f"differ by {o.output_difference:.0e}"},
            {"compared": "gradients, float64", "original": "", "ours": f"differ by {o.gradient_difference:.0e}"},
        ]
        for t in known.itertuples():
            threads, times = (f"{n} {word}{'s' * (n > 1)}" for n, word in ((t.threads, "thread"), (t.repeats, "run")))
            rows.append(
                {
                    "compared": f"{t.mode}: forward and backward, {threads}, {'median of ' * (t.repeats > 1)}{times}",
                    "original": f"{t.original_s:.2f} s",
                    "ours": f"{t.ours_s:.2f} s, {t.ratio:.2f} times as fast",
                }
            )
        where = f"{o.conversations} conversations, {o.utterances:,} utterances in all, {o.width} wide"
        return reporting.table(pd.DataFrame(rows), f"Timed, both in one run: {where}; torch {o.torch}, CPU")

    def where(self) -> Figure:
        """The three ways to embed LMAM in the backbone, drawn."""
        multimodal = BACKBONES[self.backbone].multimodal
        return figures.embeddings(self.name, tuple(self.data.widths), multimodal)

    def ways(self) -> HTML:
        """Parameters by part, without LMAM and with it in each way of embedding."""
        arms = {"concatenation": self.model(fusion="concat")}
        arms |= {run_names.WAYS[way]: self.model(way) for way in EMBEDDINGS}
        rows = []
        for name, made in arms.items():
            parts = {"fusion": made.fusion, "backbone": made.backbone, "classifier": made.classifier}
            count = {k: sum(p.numel() for p in part.parameters()) for k, part in parts.items()}
            rows.append({"arm": name} | {k: f"{n:,}" for k, n in (count | {"all": sum(count.values())}).items()})
        return reporting.table(pd.DataFrame(rows))

    @cached_property
    def trained(self) -> dict[str, tuple[Embedded, Dataset, Training]]:
        """The live run: the backbone without LMAM, with its own attention where it has one, with LMAM; trained now."""
        budget = {"learning_rate": 3e-3} | (self.quick if self.profile == "quick" else {})
        base = Experiment(self.dataset, backbone=self.backbone, seed=self.seed, **budget)
        asked = {"concatenation": dataclasses.replace(base, fusion="concat")}
        if (attention := f"{self.backbone}_att") in BACKBONES:
            asked["self-attention"] = dataclasses.replace(base, fusion="concat", backbone=attention)
        asked[run_names.WAYS[self.embedding]] = dataclasses.replace(base, embedding=self.embedding, rank=self.rank)
        return {name: live.trained(e, self.device) for name, e in asked.items()}

    def live(self) -> HTML:
        """Test scores, parameters and times of the live run."""
        rows = []
        for name, (model, prepared, training) in self.trained.items():
            parameters = f"{sum(p.numel() for p in model.parameters()):,}"
            row = {"arm": name, **score(model, prepared), "parameters": parameters}
            rows.append(row | {"s per epoch": training.seconds_per_epoch})
        return reporting.table(pd.DataFrame(rows))

    def curves(self) -> Figure:
        """Loss and validation score of the live run by epoch."""
        metric = "weighted F1" if self.data.classes else "MAE"
        return figures.curves({n: (t.train_loss, t.selection_score) for n, (*_, t) in self.trained.items()}, metric)

    def level(self) -> Markdown:
        """Where the backbone stands before LMAM, beside print and beside bc-LSTM; see `plugin.level`."""
        reference = held("bc_lstm", self.store) + held("meld", self.store)
        return Markdown(plugin.level(self.runs, reference, self.backbone))

    def rates(self) -> HTML:
        """The learning rate that validation chose for each arm."""
        if nothing := self.missing():
            return nothing
        chosen = self.table.groupby(["dataset", "arm"], sort=False).learning_rate.first().unstack(0)
        chosen = chosen.map(lambda v: f"{v:g}" if np.isfinite(v) else "–").reset_index().rename_axis(None, axis=1)
        tried = ", ".join(f"{r:g}" for r in RATES)
        seeds = {name: len(plan(name).tuning_seeds) for name in (self.backbone, "meld")}
        caption = f"Tried for every arm: {tried}, each with {seeds[self.backbone]} tuning seed(s)"
        if "meld" in set(self.table.dataset) and seeds["meld"] != seeds[self.backbone]:
            caption += f", on MELD with {seeds['meld']}"
        edge = "Where the lowest or the highest was chosen, a still lower or higher one might be better; none was tried"
        return reporting.table(chosen, f"{caption}. {edge}. Chosen:")

    def beside(self, dataset: str) -> HTML:
        """The paper's numbers beside ours, three metrics in a table, which is what a page is wide enough for."""
        if nothing := self.missing(dataset):
            return nothing
        found = plugin.beside(self.table, self.backbone, dataset)
        first, *metrics = dict.fromkeys(found.columns.get_level_values(0))
        caption = "Ours: mean over n seeds ± half the width of its 95 % interval."
        parts = [found[[first, *metrics[k : k + 3]]] for k in range(0, len(metrics), 3)]
        return HTML("".join(reporting.table(part, "" if k else caption).data for k, part in enumerate(parts)))

    def seeds(self, dataset: str) -> Figure | None:
        """Every seed of every arm as a dot, the printed number as a diamond; None where there are no runs."""
        if self.missing(dataset):
            return None
        metric, axis = AXES[dataset]
        scores = {n: list(v.values()) for n, v in plugin.values(self.table, dataset, metric).items()}
        printed = {n: plugin.printed(self.backbone, n, dataset, metric) for n in scores}
        return figures.seeds(scores, printed, axis)

    def verdicts(self) -> HTML:
        """Every claim with its verdict."""
        if nothing := self.missing():
            return nothing
        shown = self.claims.assign(verdict=self.claims.verdict.map(reporting.badge))
        return reporting.table(shown, "Gains, positive for better; the paper's are differences of printed cells")

    def classes(self, dataset: str = "iemocap") -> HTML:
        """F1 of each class without and with LMAM, the paper's beside it; needs a run of both arms."""
        if nothing := self.missing(dataset, both=True):
            return nothing
        n = len(plugin.shared_seeds(self.runs, dataset, "concatenation", plugin.starred(self.backbone)))
        if not n:
            return HTML(
                f"<p>No seed on {dataset} has both arms yet: <code>lmam sweep {self.backbone}</code> goes on.</p>"
            )
        found = plugin.class_table(self.runs, self.backbone, dataset)
        caption = f"F1 % on {dataset}, ours a mean over the {n} seeds that both arms have"
        return reporting.table(found, caption, digits=1)

    def confusions(self, dataset: str = "iemocap") -> Figure | None:
        """Confusion matrices without and with LMAM, summed over seeds; None where an arm has no runs."""
        if self.missing(dataset, both=True):
            return None
        arms = ("concatenation", plugin.starred(self.backbone))
        classes = next(r.classes for r in self.runs if r.experiment.dataset == dataset)
        return figures.confusions({n: plugin.confusion(self.runs, dataset, n) for n in arms}, classes)

    def attention(self) -> tuple[Figure, dict[str, float]]:
        """LMAM's weights on a test conversation of the live run, and each modality's largest weight times n.

        The longest conversation of at most 60 utterances, which a screen can hold; the shortest where all are longer.
        """
        model, prepared, _ = self.trained[run_names.WAYS[self.embedding]]
        talks = sorted(prepared.splits["test"], key=len)
        talk = [c for c in talks if len(c) <= 60 or c is talks[0]][-1]
        batch = collate([talk])
        with torch.no_grad():
            maps = model.eval().fusion.attention(model.fusion_inputs(batch), batch.mask)
        found = {q: a[0].numpy() for (q, _), a in maps.items()}
        names = prepared.classes
        drawn = figures.attention(found, [names[y] for y in talk.label] if names else None)
        return drawn, {m: round(float(a.max()) * len(talk), 2) for m, a in found.items()}

    def footer(self) -> HTML:
        """Where the page's numbers came from."""
        names = ("profile", "dataset", "rank", "embedding", "seed", "device")
        parameters: dict[str, Any] = {name: getattr(self, name) for name in names}
        return reporting.footer(self.store, parameters)
