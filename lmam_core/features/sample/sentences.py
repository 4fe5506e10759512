"""What the speakers of the generated sample say."""

SENTENCES: dict[str, tuple[str, ...]] = {
    "neutral": (
        "The bus leaves at a quarter past nine.",
        "I put the papers on the kitchen table.",
        "The meeting was moved to Thursday afternoon.",
        "We still need a new lamp for the hall.",
        "He works in the building next to the station.",
        "The library closes at six on Fridays.",
        "I will bring the blue folder tomorrow.",
        "There is some soup left in the pot.",
    ),
    "happy": (
        "I got the job, this is wonderful news!",
        "What a lovely surprise, thank you so much!",
        "We won the game, I am so glad!",
        "She said yes, this is the best day!",
        "I love this song, let us dance!",
        "The baby laughed today, it was beautiful!",
        "Great, we are going to the sea together!",
        "I am so happy that you are here!",
    ),
    "sad": (
        "I miss her every single day.",
        "Nobody came to say goodbye.",
        "The old dog died last night.",
        "I feel so alone in this house.",
        "We lost everything that we had.",
        "It hurts, and I cannot sleep.",
        "I am sorry, it is over.",
        "There is no hope left for us.",
    ),
    "angry": (
        "Stop lying to me right now!",
        "You broke it again, I hate this!",
        "How dare you talk to me like that!",
        "Get out of my room, I am furious!",
        "This is outrageous, I want my money back!",
        "You never listen to a single word!",
        "Shut up, that is not fair!",
        "I am sick of your stupid excuses!",
    ),
    "any": (
        "You are here already.",
        "I saw them at the station.",
        "So this is what he told you.",
        "They have decided to move away.",
        "I know what you mean.",
        "You said that yesterday, too.",
    ),
}
"""Sentences by the emotion that their words tell; those under `any` could be said in each of them."""
