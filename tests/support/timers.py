"""A clock that stands still until a test moves it; stands in for the loop's own timers (secagg.daemon.clock.Later)."""

from collections.abc import Callable


class Alarm:
    """One timer."""

    def __init__(self, due: float, act: Callable[[], None]) -> None:
        self.due = due
        self.act = act
        self.dropped = False

    def cancel(self) -> None:
        self.dropped = True


class VirtualTimers:
    """Timers that ring when `pass_time` says so, in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self._alarms: list[Alarm] = []

    def later(self, seconds: float, act: Callable[[], None]) -> Alarm:
        alarm = Alarm(self.now + seconds, act)
        self._alarms.append(alarm)
        return alarm

    def pass_time(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [alarm for alarm in self._alarms if not alarm.dropped and alarm.due <= end]:
            alarm = min(due, key=lambda alarm: alarm.due)
            self._alarms.remove(alarm)
            self.now = alarm.due
            alarm.act()
        self.now = end

    def jump(self, seconds: float) -> None:
        """Let a long time pass at once: what rings again and again rings once, at its end."""
        for alarm in self._alarms:
            if alarm.due < self.now + seconds:
                alarm.due = self.now + seconds
        self.pass_time(seconds)
