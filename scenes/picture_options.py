"""How large and how fine the rendered pictures are."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureOptions:
    """Size and effort of a rendered picture; the defaults are those of the demo images."""

    width: int = 640  # px
    height: int = 800  # px
    supersampling: int = 2  # of the mesh, along each side of a pixel
    sky_directions: int = 72  # from which the sky lights a point
    main_directions: int = 24  # from which the main light does
    map_size: int = 512  # px, side of a shadow map
