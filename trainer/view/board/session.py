"""What TensorBoard's HParams is told of a run: its hyper-parameters when it begins, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping

from google.protobuf.struct_pb2 import Struct
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo


def begun(hyper_parameters: Mapping[str, bool | float | str]) -> Summary:
    """The values of the columns.

    No list of the columns goes with them, since the first that is found would hold for all runs: they are put
    together from all, those that differ first.
    """
    values = Struct()
    values.update(hyper_parameters)
    info = SessionStartInfo(hparams=values.fields, start_time_secs=time.time())
    return _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def ended(status: int) -> Summary:
    """`status` is one of those in `tensorboard.plugins.hparams.api_pb2`."""
    info = SessionEndInfo(status=status, end_time_secs=time.time())
    return _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    return Summary(value=[Summary.Value(tag=tag, metadata=metadata.create_summary_metadata(content))])
