"""Person detectors behind one interface: an image in, persons out (`interface.Detection`)."""
