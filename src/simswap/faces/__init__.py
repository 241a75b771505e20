"""Where faces are and how they become crops: templates, warps, detection, and checks of given points."""
