"""The base class and the types of the sections. Pure."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

KIB, MIB = 1024, 1024 * 1024

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
PartitionOffset = Annotated[str, Field(pattern=r"^[0-9]{1,9}/[0-9]{1,18}$")]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
