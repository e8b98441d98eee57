from node.task import RoundContext as RoundContext
from node.task import SumTask as SumTask
from node.task import Task as Task
from node.task import Trained as Trained
from secagg import errors as errors
