"""The restaurant explorer: linked views, its sentence, and a redraw that is fast enough."""

from servelab.widgets.restaurant import SIZES, restaurant


def explorer():
    return restaurant(recipes_s=0.02, dish_s=0.004, cooks=2)


def test_one_slider_changes_both_views():
    one = explorer()
    before, after = one.figures(), one.figures(batch=16)
    assert len(before) == 2
    assert list(before[0].data[1].x) != list(after[0].data[1].x)
    assert before[1].data[1].x != after[1].data[1].x


def test_the_sentence_names_what_is_waited_for():
    one = explorer()
    assert "more cooks would not help" in one.say(cooks=2, batch=1, space=32, guests=24)
    assert "waits for the cooks" in one.say(cooks=1, batch=24, space=32, guests=24)
    assert "The counter" in one.say(cooks=2, batch=24, space=4, guests=24)
    assert "Everyone is being served" in one.say(cooks=2, batch=32, space=32, guests=24)


def test_both_pictures_follow_the_batch():
    one = explorer()
    one.live()
    for size in SIZES:
        one.controls["batch"].value = size
    assert one.views[1].data[1].x[0] == 24
