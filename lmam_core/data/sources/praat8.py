"""Eight measures of voice and timing of an utterance, taken with Praat; MELD and IEMOCAP both have them.

SpeechCueLLM published the measures and the program that took them. In the order of the columns:

| measure | unit | what |
|---|---|---|
| `duration` | s | of the recording |
| `avg_intensity` | dB | mean over the recording, averaged as energy |
| `intensity_variation` | dB | standard deviation of the intensity over frames |
| `avg_pitch` | Hz | mean over voiced frames, sought from 75 to 600 Hz; NaN where no frame is voiced |
| `pitch_std` | Hz | standard deviation over voiced frames; 0 where none is |
| `pitch_range` | Hz | highest minus lowest over voiced frames; 0 where none is |
| `articulation_rate` | 1/s | syllable nuclei per second of phonation; NaN where it could not be measured |
| `mean_hnr` | dB | harmonics-to-noise ratio |
"""

from __future__ import annotations

import numpy as np

MEASURES = (
    "duration",
    "avg_intensity",
    "intensity_variation",
    "avg_pitch",
    "pitch_std",
    "pitch_range",
    "articulation_rate",
    "mean_hnr",
)
_DURATION, _PITCH, _SPREAD, _RATE = 0, 3, slice(4, 6), 6


def columns(measured: np.ndarray, present: np.ndarray, train: np.ndarray) -> np.ndarray:
    """The measures (N, 8) made fit for a linear map, and two columns that say what is missing: (N, 10) float32.

    Duration and mean pitch become logarithms, the spread and the range of the pitch log(1 + x), because they can be 0.
    What was not measured becomes the mean over the training utterances `train` (N,) that have it. Column 8 is 1 where
    there is no pitch, column 9 where there is no articulation rate. An utterance without a recording (`present` (N,)
    False) lacks everything and has both: a column of its own would be all but constant.
    """
    x = np.where(present[:, None], measured, np.nan).astype(np.float64)
    silent, rateless = np.isnan(x[:, _PITCH]), np.isnan(x[:, _RATE])  # (N,) each
    x[silent, _SPREAD] = np.nan  # the 0 that stands there tells of no steady voice
    x[:, [_DURATION, _PITCH]] = np.log(x[:, [_DURATION, _PITCH]])
    x[:, _SPREAD] = np.log1p(x[:, _SPREAD])
    x = np.where(np.isnan(x), np.nanmean(x[train], axis=0), x)
    return np.column_stack([x, silent, rateless]).astype(np.float32)
