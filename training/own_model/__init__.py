"""Register your own XGBoost model as a version that serving can load.

labelled = own_model.labelled("spam", text_score=True)
model = XGBClassifier(max_depth=4).fit(labelled.train.X, labelled.train.y)
own_model.register(labelled, model, why="deeper trees")
"""

from training.own_model.labelled_split import LabelledSplit, SplitPart, labelled
from training.own_model.register import OwnVersion, register

__all__ = ["LabelledSplit", "OwnVersion", "SplitPart", "labelled", "register"]
