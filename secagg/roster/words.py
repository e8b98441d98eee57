"""The 256 words that stand for the bytes of a fingerprint when it is read out over the telephone.

Rules: common nouns of four to eight letters that differ within their first four; the order is part of the format and
never changes.
"""

_TEXT = """
    acorn actor album almond amber anchor angel ankle apple apron arena armor arrow atlas autumn avenue
    badger bakery balcony bamboo banana barrel basket beacon bishop blanket blossom border bottle branch bridge bucket
    cabin cactus camel canal candle canyon carbon castle cedar cellar cherry chimney circus clover cobalt copper
    coral cotton cradle crater cricket crystal curtain cushion dagger daisy dancer debate desert diamond dinner doctor
    dolphin donkey dragon drawer drummer eagle easel echo elbow elephant ember engine envelope falcon family farmer
    feather fender fiddle figure finger flame fossil fountain fraction freight frost funnel galaxy garden garlic gazelle
    ginger giraffe glacier goblet gravel grocer guitar hammer harbor hazel helmet herald hollow honey horizon hunter
    igloo inkwell insect island ivory jacket jaguar jasmine jelly jersey jigsaw jockey jungle kennel kernel kettle
    kitchen kitten knight ladder lagoon lantern laurel lemon leopard library lizard lobster locket lumber magnet mammoth
    maple marble meadow melon mirror missile mohair monkey morning mosaic muffin museum mustard napkin needle nickel
    noodle notebook nutmeg oasis ocean olive onion opera orange orbit orchid otter oyster paddle palace panther
    parrot pebble pelican pencil pepper piano pigeon pillow pirate planet plaza pocket polar potato prism puddle
    pumpkin puzzle quarry quilt rabbit radar raisin raven ribbon river robin rocket rubber saddle saffron salmon
    satin scarf school season shadow shelter silver sketch sleeve socket spider spring square stable statue summer
    sunset swallow table tailor target teapot temple thunder ticket tiger timber tomato tower tractor trumpet tulip
    tunnel turtle umbrella uncle valley vanilla velvet violin walnut whale window winter wizard yogurt zebra zipper
"""

WORDS: tuple[str, ...] = tuple(_TEXT.split())
