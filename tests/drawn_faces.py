"""Faces that OpenCV's cascade finds, drawn on the spot."""

from PIL import Image, ImageDraw, ImageFilter


def drawn_face(size=(240, 300), ground=(110, 110, 120), hair=(60, 45, 40)):
    """A pale oval with dark eyes, brows, nose and mouth."""
    image = Image.new("RGB", size, ground)
    pen = ImageDraw.Draw(image)
    pen.ellipse((50, 30, 190, 230), fill=hair)
    pen.ellipse((60, 55, 180, 235), fill=(215, 180, 160))
    for x in (95, 145):
        pen.ellipse((x - 17, 112, x + 17, 132), fill=(150, 115, 100))
        pen.ellipse((x - 11, 116, x + 11, 129), fill=(245, 240, 235))
        pen.ellipse((x - 6, 115, x + 6, 129), fill=(30, 20, 20))
        pen.rectangle((x - 18, 100, x + 18, 106), fill=(50, 35, 30))
    pen.polygon([(120, 125), (107, 168), (133, 168)], fill=(190, 150, 132))
    pen.ellipse((96, 184, 144, 202), fill=(150, 60, 60))
    return image.filter(ImageFilter.GaussianBlur(2))
