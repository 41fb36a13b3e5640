"""The words of the simulated shop: kinds of goods on a ring, brands, and the sentences built from them.

The ring is the shop's planted habit: people who bought from one kind tend to buy from the next one, never the reverse.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One category of goods.

    Attributes:
        name: the category.
        nouns: what its items are called.
        adjectives: what sets them apart.
        use: completes "Made for ...".
        price: of an average item, in whole currency units.
    """

    name: str
    nouns: tuple[str, ...]
    adjectives: tuple[str, ...]
    use: str
    price: int


KINDS = (
    Kind("Cameras", ("Camera", "Mirrorless Camera"), ("Compact", "Weatherproof", "Full-Frame", "Pocket"),
         "photographs of people and places", 640),
    Kind("Lenses", ("Lens", "Zoom Lens"), ("Wide-Angle", "Telephoto", "Macro", "Portrait"),
         "photographers who outgrew the first lens of their camera", 390),
    Kind("Tripods", ("Tripod", "Travel Tripod"), ("Carbon", "Foldable", "Low-Angle", "Heavy-Duty"),
         "sharp pictures at long exposures", 120),
    Kind("Tents", ("Tent", "Dome Tent"), ("Two-Person", "Family", "Four-Season", "Ultralight"),
         "nights outdoors in wind and rain", 260),
    Kind("Sleeping Bags", ("Sleeping Bag", "Mummy Bag"), ("Down", "Winter", "Summer", "Wide"),
         "warm sleep in a tent", 140),
    Kind("Hiking Boots", ("Boots", "Hiking Boots"), ("Waterproof", "Leather", "Mid-Cut", "Alpine"),
         "long walks on rough trails", 160),
    Kind("Espresso Machines", ("Espresso Machine", "Coffee Maker"), ("Dual-Boiler", "Manual", "Automatic", "Compact"),
         "espresso at home", 420),
    Kind("Coffee Beans", ("Coffee Beans", "Espresso Beans"), ("Dark Roast", "Light Roast", "Organic", "Decaf"),
         "a full cup every morning", 16),
    Kind("Mugs", ("Mug", "Travel Mug"), ("Stoneware", "Insulated", "Glass", "Enamel"),
         "hot drinks at a desk or on the way", 18),
    Kind("Bicycles", ("Bicycle", "City Bike"), ("Gravel", "Folding", "Touring", "Electric"),
         "daily rides and weekend tours", 890),
    Kind("Helmets", ("Helmet", "Cycling Helmet"), ("Aero", "Urban", "Trail", "Vented"),
         "safe cycling in traffic", 85),
    Kind("Bike Lights", ("Bike Light", "Light Set"), ("Rechargeable", "Bright", "Clip-On", "Dynamo"),
         "cycling after dark", 35),
    Kind("Guitars", ("Guitar", "Acoustic Guitar"), ("Spruce", "Electric", "Classical", "Travel"),
         "players at home and on stage", 480),
    Kind("Guitar Strings", ("String Set", "Guitar Strings"), ("Phosphor Bronze", "Nylon", "Light-Gauge", "Coated"),
         "a clear and lasting tone", 14),
    Kind("Amplifiers", ("Amplifier", "Practice Amplifier"), ("Tube", "Portable", "Stereo", "Vintage"),
         "rehearsals and small stages", 310),
    Kind("Laptops", ("Laptop", "Notebook"), ("Slim", "Gaming", "Convertible", "Business"),
         "work and study anywhere", 990),
    Kind("Headphones", ("Headphones", "Earbuds"), ("Wireless", "Studio", "Noise-Cancelling", "Open-Back"),
         "music without the noise of the street", 150),
    Kind("Backpacks", ("Backpack", "Daypack"), ("Roll-Top", "Canvas", "Trekking", "Anti-Theft"),
         "everything needed for a day", 95),
    Kind("Cookware", ("Pan", "Saucepan"), ("Cast-Iron", "Non-Stick", "Copper", "Steel"),
         "cooking on every kind of stove", 75),
    Kind("Kitchen Knives", ("Chef's Knife", "Paring Knife"), ("Forged", "Damascus", "Ceramic", "Serrated"),
         "clean cuts in a busy kitchen", 60),
    Kind("Cookbooks", ("Cookbook", "Recipe Book"), ("Vegetarian", "Italian", "Baking", "Weeknight"),
         "cooks who like to try new dishes", 28),
    Kind("Garden Tools", ("Trowel", "Pruning Shears"), ("Bypass", "Steel", "Long-Handled", "Ergonomic"),
         "beds and borders", 32),
    Kind("Seeds", ("Seed Mix", "Vegetable Seeds"), ("Wildflower", "Heirloom", "Organic", "Early"),
         "a garden that grows from scratch", 8),
    Kind("Plant Pots", ("Plant Pot", "Planter"), ("Terracotta", "Self-Watering", "Hanging", "Glazed"),
         "plants on a balcony or a window sill", 22),
)  # fmt: skip

BRANDS = (
    "Northpeak", "Lumora", "Vantar", "Oakridge", "Solenne", "Kestrel", "Brightwell", "Tamarin", "Orvane", "Helmholt",
    "Cascadia", "Mirelle", "Fenwick", "Auralis", "Drumlin", "Zephra", "Quillon", "Marlowe", "Silverin", "Pellworth",
    "Yonder", "Ibexa", "Corvane", "Thistle", "Wayfare", "Elmsworth", "Nordlys", "Paragon", "Rosewick", "Umbra",
    "Galena", "Jasperine", "Havelock", "Lindqvist", "Ottoway", "Verity", "Stellan", "Bramble", "Caldera", "Dovetail",
    "Everly", "Foxglove", "Granary", "Hazeltine", "Inkwell", "Juniper", "Kilnford", "Larkspur",
)  # fmt: skip

TIERS = ("budget", "mid-range", "premium")


def title(brand: str, adjective: str, noun: str, model: str) -> str:
    """What a customer reads first."""
    return f"{brand} {adjective} {noun} {model}"


def description(kind: Kind, brand: str, adjective: str, noun: str, tier: str) -> str:
    """One sentence that carries the category, the brand and the price level."""
    article = "An" if adjective[0] in "AEIOU" else "A"
    return f"{article} {adjective.lower()} {noun.lower()} by {brand}, made for {kind.use}, in the {tier} range."
