"""What the object list says, made fit to act on: confirmed, bridged over gaps, not believed when it jumps."""

from . import calibration as cal

KINDS = {1: "car", 2: "pedestrian", 3: "bicycle", 4: "motorcycle"}
WIDTH_M = {"car": 1.8, "pedestrian": 0.6, "bicycle": 0.6, "motorcycle": 0.8}
EGO_WIDTH_M, EGO_LENGTH_M, OTHER_LENGTH_M = 1.9, 4.8, 4.5


class Track:
    """One place of the object list."""

    def __init__(self):
        self.frames, self.jumps, self.seen_ns = 0, 0, None
        self.cuts_in = False  # it was beside the corridor before

    def accept(self, now, place):
        """Take in what the list says of it: its signals, by their names without the place's number."""
        distance = place["Distance"]
        if not place["Valid"] or place["Confidence"] < cal.LEAST_CONFIDENCE:
            if self.seen_ns is not None and now - self.seen_ns > cal.COAST_S * 1e9:
                self.frames, self.cuts_in = 0, False
            return
        if self.frames and abs(distance - self.ahead(now)) > cal.MOST_JUMP_M:
            self.jumps += 1
            if self.jumps < cal.JUMPS_UNTIL_NEW:
                return
            self.frames = 0
        self.jumps, self.frames, self.seen_ns = 0, self.frames + 1, now
        self.kind = KINDS.get(int(place["Kind"]), "car")
        self.distance, self.lateral = distance, place["Lateral"]
        self.speed, self.lateral_speed = place["RelSpeed"], place["LatSpeed"]

    def confirmed(self, now):
        return self.frames >= cal.CONFIRM_FRAMES and now - self.seen_ns <= cal.COAST_S * 1e9

    def ahead(self, now):
        """The distance now, in m."""
        return self.distance + self.speed * (now - self.seen_ns) / 1e9

    def beside(self, now, curvature):
        """How far its middle is from the ego vehicle's path, left positive."""
        ahead = max(0.0, self.ahead(now))
        return self.lateral + self.lateral_speed * (now - self.seen_ns) / 1e9 - curvature * ahead * ahead / 2

    def reached_in_s(self, now):
        return self.ahead(now) / -self.speed if self.speed < -0.5 else 1e9

    def in_the_way(self, now, curvature, time_s):
        """Whether it will be where the ego vehicle is when that gets there."""
        reach = (EGO_WIDTH_M + WIDTH_M[self.kind]) / 2 + cal.MARGIN_M[self.kind]
        crossing = self.lateral_speed if self.kind != "car" else 0.0
        return abs(self.beside(now, curvature) + crossing * time_s) < reach
